// Posts events to a gateway over keep-alive connections and prints, as one JSON object, what came of it.
//
// With -rate 0 each connection posts its next event as soon as the last is answered; otherwise events are due at equal
// distances, and the latency of each counts from when it was due, so that a slow answer is not hidden by those that
// wait behind it. Requests and answers are written and read as bytes: the load must cost less than what it measures.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type result struct {
	Published  int       `json:"published"`
	Failed     int       `json:"failed"`
	Seconds    float64   `json:"seconds"`
	Latencies  []float64 `json:"latencies"` // milliseconds
	FirstError string    `json:"first_error"`
}

type load struct {
	address, path, event string
	rate                 float64
	total                int64
	began                time.Time
	next                 atomic.Int64
	mutex                sync.Mutex
	result               result
}

func main() {
	one := &load{result: result{Latencies: []float64{}}}
	flag.StringVar(&one.address, "address", "127.0.0.1:12000", "host:port of the gateway")
	flag.StringVar(&one.path, "path", "/metaflow-event", "the webhook's path")
	flag.StringVar(&one.event, "event", "bench.gateway", "the event's name")
	flag.Float64Var(&one.rate, "rate", 0, "events a second; 0 is as fast as they are answered")
	connections := flag.Int("connections", 32, "connections")
	flag.Int64Var(&one.total, "events", 10000, "events in all")
	flag.Parse()

	one.began = time.Now()
	var working sync.WaitGroup
	for range *connections {
		working.Add(1)
		go func() { defer working.Done(); one.work() }()
	}
	working.Wait()
	one.result.Seconds = time.Since(one.began).Seconds()
	if err := json.NewEncoder(os.Stdout).Encode(one.result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (one *load) work() {
	latencies := make([]float64, 0, 4096)
	failed := 0
	connection, err := net.Dial("tcp", one.address)
	if err != nil {
		one.report(latencies, 1, err)
		return
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		number := one.next.Add(1)
		if number > one.total {
			break
		}
		due := time.Now()
		if one.rate > 0 {
			due = one.began.Add(time.Duration(float64(number) / one.rate * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
		if err = one.post(connection, reader, number); err != nil {
			failed++
			break
		}
		latencies = append(latencies, float64(time.Since(due))/float64(time.Millisecond))
	}
	one.report(latencies, failed, err)
}

func (one *load) post(connection net.Conn, reader *bufio.Reader, number int64) error {
	now := time.Now()
	body := fmt.Sprintf(`{"name": "%s", "payload": {"name": "%s", "id": "%08x-0000-4000-8000-%012x", `+
		`"timestamp": %d, "utc_date": "%s", "generated-by-metaflow": true, "table": "sales", "rows": %d, `+
		`"path": "s3://bucket/prefix/part-%d.parquet"}}`,
		one.event, one.event, uint32(now.UnixNano()), number, now.Unix(), now.UTC().Format("20060102"), number, number)
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Python-urllib/3.11\r\nAccept-Encoding: identity\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", one.path, one.address, len(body), body)
	if _, err := io.WriteString(connection, request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d: %s", answer.StatusCode, text)
	}
	return nil
}

func (one *load) report(latencies []float64, failed int, err error) {
	one.mutex.Lock()
	defer one.mutex.Unlock()
	one.result.Published += len(latencies)
	one.result.Failed += failed
	one.result.Latencies = append(one.result.Latencies, latencies...)
	if err != nil && one.result.FirstError == "" {
		one.result.FirstError = err.Error()
	}
}
