// Command etcd is the real etcd, whose own main lives in a module that is not published for building.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
