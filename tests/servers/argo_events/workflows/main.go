// What Argo Events' own code creates for Sensors: Sensors and what was posted to its webhook on stdin, as
// {"sensors": […], "posts": ["…", …]}; on stdout, by Sensor's name, the Workflows in the order of their creation.
//
// Filters, values and resources are its packages; what lies between them in its event bus (which events a trigger has
// seen, and when its conditions hold) is told here as pkg/eventbus/jetstream/sensor tells it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/Knetic/govaluate"
	events "github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	sources "github.com/argoproj/argo-events/pkg/eventsources/events"
	"github.com/argoproj/argo-events/pkg/sensors/dependencies"
	standardk8s "github.com/argoproj/argo-events/pkg/sensors/triggers/standard-k8s"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

type question struct {
	Sensors []events.Sensor `json:"sensors"`
	Posts   []string        `json:"posts"`
}

// cluster is a Kubernetes client that keeps what is created.
type cluster struct {
	dynamic.NamespaceableResourceInterface
	created []map[string]any
}

func (one *cluster) Resource(schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return one
}

func (one *cluster) Namespace(string) dynamic.ResourceInterface { return one }

func (one *cluster) Create(
	_ context.Context, object *unstructured.Unstructured, _ metav1.CreateOptions, _ ...string,
) (*unstructured.Unstructured, error) {
	one.created = append(one.created, object.DeepCopy().Object)
	return object, nil
}

func main() {
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	os.Stdout = os.Stderr // its code tells there what it falls back to
	var asked question
	must(json.NewDecoder(os.Stdin).Decode(&asked))
	created := map[string][]map[string]any{}
	for index := range asked.Sensors {
		sensor := &asked.Sensors[index]
		created[sensor.Name] = workflowsOf(sensor, asked.Posts)
	}
	must(answers.Encode(created))
}

// workflowsOf returns what a Sensor's first trigger creates for the posts.
func workflowsOf(sensor *events.Sensor, posts []string) []map[string]any {
	bed := &cluster{created: []map[string]any{}}
	trigger := &sensor.Spec.Triggers[0]
	conditions := trigger.Template.Conditions
	if conditions == "" {
		names := []string{}
		for _, dependency := range sensor.Spec.Dependencies {
			names = append(names, dependency.Name)
		}
		conditions = strings.Join(names, "&&")
	}
	expression, err := govaluate.NewEvaluableExpression(strings.ReplaceAll(conditions, "-", "\\-"))
	must(err)
	saved := map[string]*events.Event{}
	for number, post := range posts {
		event := eventOf(post, number)
		for _, dependency := range sensor.Spec.Dependencies {
			if dependency.Filters != nil {
				passes, _ := dependencies.Filter(event, dependency.Filters, dependency.FiltersLogicalOperator)
				if !passes {
					continue
				}
			}
			saved[dependency.Name] = event
			there := map[string]any{}
			for _, other := range sensor.Spec.Dependencies {
				there[other.Name] = saved[other.Name] != nil
			}
			holds, err := expression.Evaluate(there)
			must(err)
			if holds == true {
				act(sensor, trigger, saved, bed)
				saved = map[string]*events.Event{}
			}
		}
	}
	return bed.created
}

// eventOf returns the event that the webhook makes of a post's body.
func eventOf(post string, number int) *events.Event {
	body := json.RawMessage(post)
	data, err := json.Marshal(&sources.WebhookEventData{Body: &body})
	must(err)
	return &events.Event{
		Context: &events.EventContext{DataContentType: "application/json", ID: fmt.Sprint(number)}, Data: data,
	}
}

func act(sensor *events.Sensor, trigger *events.Trigger, saved map[string]*events.Event, bed *cluster) {
	ctx := context.Background()
	doing := standardk8s.NewStandardK8sTrigger(nil, bed, sensor, trigger, zap.NewNop().Sugar())
	resource, err := doing.FetchResource(ctx)
	must(err)
	resource, err = doing.ApplyResourceParameters(saved, resource)
	must(err)
	_, err = doing.Execute(ctx, saved, resource)
	must(err)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
