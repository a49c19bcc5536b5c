package marathonconn

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Query is one app of a Marathon.
type Query struct {
	App string // with a leading slash; "*" in it stands for any characters
	// Path is where its tasks are read, in place of Marathon's own way to read
	// an app; empty = that one.
	Path string
}

// matches reports whether an event about id is about q.
func (q Query) matches(id string) bool {
	before, after, wild := strings.Cut(q.App, "*")
	if !wild {
		return q.App == id
	}
	return strings.HasPrefix(id, before) && (strings.Contains(after, "*") || strings.HasSuffix(id, after))
}

// Answer is what Marathon says about one app. It is shared and never modified.
type Answer struct {
	App *App // nil when Missing
	// Missing says that Marathon does not know the app.
	Missing bool
	// Terminated says that an event told before that its owner deleted it.
	Terminated bool

	// Noticed is when the event came that this read followed; zero = none did.
	Noticed time.Time

	number uint64 // of the read, in the follower's order
}

// read reads one app, from the first endpoint that answers.
func (c *client) read(ctx context.Context, q Query) (answer *Answer, err error) {
	err = c.Each(ctx, absent, func(endpoint string) error {
		answer, err = c.readFrom(ctx, endpoint, q)
		return err
	})
	if err != nil && absent(err) {
		return &Answer{Missing: true}, nil
	}
	return answer, err
}

func (c *client) readFrom(ctx context.Context, endpoint string, q Query) (*Answer, error) {
	if q.Path != "" {
		tasks, err := c.tasks(ctx, join(endpoint, q.Path))
		if err != nil {
			return nil, err
		}
		return &Answer{App: &App{ID: q.App, Tasks: tasks}}, nil
	}
	address := endpoint + "/v2/apps" + escapeID(q.App)
	if strings.Contains(q.App, "*") {
		tasks, err := c.tasks(ctx, address+"/tasks")
		return &Answer{App: &App{ID: q.App, Tasks: tasks}}, err
	}
	app, whole, err := c.app(ctx, address+"?embed=app.tasks&embed=app.deployments&embed=app.readiness", q)
	if whole && err == nil {
		return &Answer{App: app}, nil
	}
	if err != nil && !narrow(err) {
		return nil, err
	}
	// The original's own call: it confirms that the app is not there, helps
	// where a proxy lets nothing else through, and where tasks are not embedded.
	tasks, err := c.tasks(ctx, address+"/tasks")
	if err != nil {
		return nil, err
	}
	if app == nil {
		app = &App{ID: q.App}
	}
	app.Tasks = tasks
	return &Answer{App: app}, nil
}

func (c *client) app(ctx context.Context, address string, q Query) (*App, bool, error) {
	body, err := c.get(ctx, address)
	if err != nil {
		return nil, false, err
	}
	app, whole, err := decodeApp(body)
	if err == nil && AppID(app.ID) != q.App {
		err = badAnswer("is about the app %.100q", app.ID)
	}
	if err != nil {
		return nil, false, &Fault{Call: "GET " + address, Err: err}
	}
	return app, whole, nil
}

func (c *client) tasks(ctx context.Context, address string) ([]Task, error) {
	body, err := c.get(ctx, address)
	if err != nil {
		return nil, err
	}
	tasks, err := decodeTaskList(body)
	if err != nil {
		return nil, &Fault{Call: "GET " + address, Err: err}
	}
	return tasks, nil
}

// escapeID returns an app id as a part of a URL's path.
func escapeID(id string) string {
	var b strings.Builder
	for element := range strings.SplitSeq(strings.Trim(id, "/"), "/") {
		b.WriteString("/" + strings.ReplaceAll(url.PathEscape(element), "%2A", "*"))
	}
	return b.String()
}

// ExpandPath puts an app id into a path such as /v2/apps/%{app}/tasks.
func ExpandPath(path, app string) (string, error) {
	expanded := strings.ReplaceAll(path, "%{app}", strings.TrimPrefix(escapeID(app), "/"))
	expanded = "/" + strings.TrimLeft(expanded, "/")
	if u, err := url.Parse("http://x" + expanded); err != nil || u.Fragment != "" || strings.ContainsAny(expanded, " \t\r\n") {
		return "", fmt.Errorf("want a path such as /v2/apps/%%{app}/tasks, got %q", path)
	}
	return expanded, nil
}

// join appends path to endpoint, unless it begins with the endpoint's own path
// already.
func join(endpoint, path string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Path == "" || !strings.HasPrefix(path, u.Path+"/") {
		return endpoint + path
	}
	return strings.TrimSuffix(endpoint, u.Path) + path
}
