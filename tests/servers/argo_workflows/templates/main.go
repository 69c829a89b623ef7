// What Argo's own code makes of a template: one question a line on stdin, as {"template": …, "rounds": [{"name": "value"}]},
// the template after all rounds a line on stdout. Its controller substitutes more than once, each time in the whole text
// that the last time left: that is why a value can bring in a tag.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"

	"github.com/argoproj/argo-workflows/v4/util/logging"
	"github.com/argoproj/argo-workflows/v4/util/template"
)

type question struct {
	Template json.RawMessage     `json:"template"`
	Rounds   []map[string]string `json:"rounds"`
}

func main() {
	ctx := logging.WithLogger(context.Background(), logging.NewSlogLogger(logging.Error, logging.Text))
	answers := bufio.NewWriter(os.Stdout)
	defer answers.Flush()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one question
		must(json.Unmarshal(lines.Bytes(), &one))
		text := string(one.Template)
		for _, round := range one.Rounds {
			replaced, err := template.Replace(ctx, text, round, true)
			must(err)
			text = replaced
		}
		_, err := answers.WriteString(text + "\n")
		must(err)
	}
	must(lines.Err())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
