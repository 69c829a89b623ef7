// Write the records that the CloudEvents SDK for Go writes to Kafka: a line of JSON for each in go.jsonl, with its case,
// its headers and its value (both in base64). Run by hand when a case is added: go run .
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/IBM/sarama"
	kafka_sarama "github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
)

type line struct {
	Case    string      `json:"case"`
	Headers [][2]string `json:"headers"`
	Value   *string     `json:"value"`
}

func main() {
	out, err := os.Create("go.jsonl")
	if err != nil {
		log.Fatal(err)
	}
	defer out.Close()
	lines := json.NewEncoder(out)
	for _, mode := range []string{"binary", "structured"} {
		ctx := binding.WithForceBinary(context.Background())
		if mode == "structured" {
			ctx = binding.WithForceStructured(context.Background())
		}
		write(ctx, lines, "sdk: "+mode, made("application/json", map[string]any{"order_id": "o-1", "amount": 12.5, "note": "größe"}))
		write(ctx, lines, "sdk: "+mode+" xml", made("application/xml", []byte("<order/>")))
		write(ctx, lines, "sdk: "+mode+" without data", made("", nil))
	}
}

func made(contentType string, data any) event.Event {
	made := event.New()
	made.SetID("e-1")
	made.SetSource("/shop/caf%C3%A9")
	made.SetType("order.created")
	made.SetTime(time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC))
	made.SetSubject("größe")
	made.SetExtension("traceparent", "00-ab")
	made.SetExtension("attempt", 3)
	if data != nil {
		if err := made.SetData(contentType, data); err != nil {
			log.Fatal(err)
		}
	}
	return made
}

func write(ctx context.Context, lines *json.Encoder, name string, made event.Event) {
	message := &sarama.ProducerMessage{Topic: "order.created"}
	if err := kafka_sarama.WriteProducerMessage(ctx, binding.ToMessage(&made), message); err != nil {
		log.Fatal(err)
	}
	written := line{Case: name, Headers: [][2]string{}}
	for _, header := range message.Headers {
		written.Headers = append(written.Headers, [2]string{string(header.Key), encoded(header.Value)})
	}
	if message.Value != nil {
		value, err := message.Value.Encode()
		if err != nil {
			log.Fatal(err)
		}
		text := encoded(value)
		written.Value = &text
	}
	if err := lines.Encode(written); err != nil {
		log.Fatal(err)
	}
}

func encoded(content []byte) string {
	text, err := json.Marshal(content) // base64, as encoding/json writes bytes
	if err != nil {
		log.Fatal(err)
	}
	return string(text[1 : len(text)-1])
}
