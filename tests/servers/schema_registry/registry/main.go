// Serves franz-go's in-memory schema registry on a port of loopback: an implementation that owes nothing to ours.
package main

import (
	"log"
	"net"
	"net/http"
	"os"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, srfake.NewRegistry().Handler()))
}
