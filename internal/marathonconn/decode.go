package marathonconn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// App is an app as Marathon describes it, in the shapes of 0.8 to 1.11. It is
// shared and never modified.
type App struct {
	ID        string `json:"id"`
	Instances Number `json:"instances"` // wanted; negative = not known
	// Defined says that the definition is there: all fields but Tasks. Without
	// it only the tasks were read.
	Defined          bool             `json:"-"`
	Networks         []Network        `json:"networks"`  // since 1.5
	IPAddress        *IPAddress       `json:"ipAddress"` // until 1.4
	Container        *Container       `json:"container"`
	Ports            []Number         `json:"ports"` // service ports, until 1.4
	PortDefinitions  []PortDefinition `json:"portDefinitions"`
	HealthChecks     []HealthCheck    `json:"healthChecks"`
	ReadinessChecks  []ReadinessCheck `json:"readinessChecks"`
	ReadinessResults []ReadinessState `json:"readinessCheckResults"`
	Deployments      []struct{}       `json:"deployments"`
	Tasks            []Task           `json:"-"`
}

// Network is one network that an app's containers are in.
type Network struct {
	Mode string `json:"mode"` // host, container or container/bridge
}

// IPAddress is there when each task has an address of its own, before 1.5.
type IPAddress struct {
	Discovery struct {
		Ports []DiscoveryPort `json:"ports"`
	} `json:"discovery"`
}

// DiscoveryPort is a port at a task's own address.
type DiscoveryPort struct {
	Number Number `json:"number"`
	Name   string `json:"name"`
}

// Container is where the ports of an app's containers are described, in one of
// two places.
type Container struct {
	PortMappings []PortMapping `json:"portMappings"`
	Docker       struct {
		Network      string        `json:"network"` // HOST, BRIDGE or USER, until 1.4
		PortMappings []PortMapping `json:"portMappings"`
	} `json:"docker"`
}

// PortMapping is a container's port and what the outside knows it by.
type PortMapping struct {
	ContainerPort Number `json:"containerPort"`
	ServicePort   Number `json:"servicePort"`
	Name          string `json:"name"`
}

// PortDefinition is a port on the host.
type PortDefinition struct {
	Port Number `json:"port"`
	Name string `json:"name"`
}

// HealthCheck is one that Marathon runs; only their number matters here.
type HealthCheck struct{}

// ReadinessCheck holds a deployment up until a new task is ready.
type ReadinessCheck struct {
	TimeoutSeconds Number `json:"timeoutSeconds"`
}

// ReadinessState is what the readiness checks of one task have found.
type ReadinessState struct {
	TaskID string `json:"taskId"`
	Ready  bool   `json:"ready"`
}

// Task is one running or staged copy of an app.
type Task struct {
	ID           string         `json:"id"`
	AppID        string         `json:"appId"`
	Host         string         `json:"host"`
	Ports        []Number       `json:"ports"`
	ServicePorts []Number       `json:"servicePorts"`
	IPAddresses  []TaskAddress  `json:"ipAddresses"`
	Results      []HealthResult `json:"healthCheckResults"`
	State        string         `json:"state"`
	StartedAt    time.Time      `json:"-"` // zero = has not
	// Fault says why the task cannot be used; the other fields may be empty.
	Fault string `json:"-"`
}

// TaskAddress is an address of a task's own.
type TaskAddress struct {
	IPAddress string `json:"ipAddress"`
	Protocol  string `json:"protocol"` // IPv4 or IPv6
}

// HealthResult is what one health check says.
type HealthResult struct {
	Alive bool `json:"alive"`
}

// Number is an integer that old versions may write as a string.
type Number int

// UnmarshalJSON accepts 80, 80.0 and "80"; null changes nothing.
func (n *Number) UnmarshalJSON(data []byte) error {
	digits := string(bytes.Trim(data, `"`))
	if digits == "null" {
		return nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f != float64(int(f)) {
		return fmt.Errorf("%.40s is not a whole number", data)
	}
	*n = Number(f)
	return nil
}

// decodeApp reads the answer to GET /v2/apps/{id}. The second result tells
// whether the tasks are in it.
func decodeApp(data []byte) (*App, bool, error) {
	var top struct {
		App json.RawMessage `json:"app"`
	}
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, false, badAnswer("is no JSON object: %w", err)
	}
	if len(top.App) == 0 || string(top.App) == "null" {
		return nil, false, badAnswer(`lacks the key "app"`)
	}
	a := &App{Instances: -1}
	var inner struct {
		Tasks *[]json.RawMessage `json:"tasks"`
	}
	if err := errors.Join(json.Unmarshal(top.App, a), json.Unmarshal(top.App, &inner)); err != nil {
		return nil, false, badAnswer("holds an app that cannot be read: %w", err)
	}
	a.Defined = true
	if inner.Tasks == nil {
		return a, false, nil
	}
	a.Tasks = decodeTasks(*inner.Tasks)
	return a, true, nil
}

// decodeTaskList reads the answer to GET /v2/apps/{id}/tasks.
func decodeTaskList(data []byte) ([]Task, error) {
	var top struct {
		Tasks *[]json.RawMessage `json:"tasks"`
	}
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, badAnswer("is no JSON object with a list of tasks: %w", err)
	}
	if top.Tasks == nil {
		return nil, badAnswer(`lacks the key "tasks"`)
	}
	return decodeTasks(*top.Tasks), nil
}

// decodeTasks reads each task for itself, so that one that is malformed does
// not take the others with it.
func decodeTasks(list []json.RawMessage) []Task {
	tasks := make([]Task, len(list))
	for i, raw := range list {
		tasks[i] = decodeTask(raw)
		if tasks[i].ID == "" {
			tasks[i].ID = fmt.Sprintf("task %d", i)
		}
	}
	return tasks
}

func decodeTask(raw json.RawMessage) Task {
	var t struct {
		Task
		StartedAt any `json:"startedAt"`
	}
	if err := json.Unmarshal(raw, &t); err != nil || string(raw) == "null" {
		var named struct {
			ID any `json:"id"`
		}
		_ = json.Unmarshal(raw, &named)
		id, _ := named.ID.(string)
		return Task{ID: id, Fault: fmt.Sprintf("cannot be read: %v", cmpErr(err))}
	}
	switch at := t.StartedAt.(type) {
	case string:
		if parsed, err := time.Parse(time.RFC3339, at); err == nil {
			t.Task.StartedAt = parsed
		} else if at != "" {
			t.Task.StartedAt = time.Unix(0, 0) // it has started, whenever that was
		}
	case nil:
	default:
		t.Task.StartedAt = time.Unix(0, 0)
	}
	return t.Task
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("it is null")
	}
	return err
}

// decodeMessage returns the text of Marathon's answer to a bad request, and
// whether data is a JSON object at all.
func decodeMessage(data []byte) (string, bool) {
	var body map[string]any
	if json.Unmarshal(data, &body) != nil || body == nil {
		return "", false
	}
	s, _ := body["message"].(string)
	return s, true
}
