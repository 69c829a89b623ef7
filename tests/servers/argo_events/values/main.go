// What Argo Events' own code puts into a parameter: a case a line on stdin, its text (or null) a line on stdout.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	events "github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/sensors/triggers"
)

type testCase struct {
	Source events.TriggerParameterSource `json:"source"`
	Data   string                        `json:"data"`
}

func main() {
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	stdout := os.Stdout
	os.Stdout = os.Stderr // the code tells there what it falls back to
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one testCase
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			panic(err)
		}
		event := &events.Event{Context: &events.EventContext{DataContentType: "application/json"}, Data: []byte(one.Data)}
		text, _, err := triggers.ResolveParamValue(&one.Source, map[string]*events.Event{one.Source.DependencyName: event})
		if err != nil {
			text = nil
		}
		answers = json.NewEncoder(stdout)
		answers.SetEscapeHTML(false)
		if err := answers.Encode(text); err != nil {
			panic(err)
		}
	}
}
