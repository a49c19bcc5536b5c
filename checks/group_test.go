package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted answers with err, or waits for the end of its context.
type scripted struct {
	err    error
	silent bool
	panics bool
}

func (s scripted) Check(ctx context.Context) error {
	switch {
	case s.panics:
		panic("oh")
	case s.silent:
		<-ctx.Done()
		return ctx.Err()
	}
	return s.err
}

var (
	good   = scripted{}
	bad    = scripted{err: errors.New("broken")}
	worse  = scripted{err: errors.New("burnt")}
	half   = scripted{err: service.Degraded{Reason: "slow", Weight: 50}}
	tenth  = scripted{err: fmt.Errorf("wrapped: %w", service.Degraded{Reason: "slower", Weight: 10})}
	silent = scripted{silent: true}
	broken = scripted{panics: true}
	unmade = scripted{err: fmt.Errorf("cannot connect: %w", os.NewSyscallError("socket", syscall.EMFILE))}
)

func grouped(j judge, limit time.Duration, members ...scripted) *group {
	g := &group{judge: j}
	for i, m := range members {
		g.members = append(g.members, Built{Name: fmt.Sprintf("m%d", i+1), Check: m, Timeout: limit})
	}
	return g
}

func TestGroups(t *testing.T) {
	const soon = 20 * time.Millisecond
	for _, tc := range []struct {
		name    string
		judge   judge
		limit   time.Duration
		members []scripted
		want    string
		weight  int // of a degraded result
	}{
		{"all of one", all, time.Hour, []scripted{good}, "", 0},
		{"all", all, time.Hour, []scripted{good, good}, "", 0},
		{"all, one fails", all, time.Hour, []scripted{good, bad, good}, "m2: broken", 0},
		{"all, one fails and the others are not waited for", all, time.Hour, []scripted{silent, bad, silent}, "m2: broken", 0},
		{"all, one is silent", all, soon, []scripted{good, silent}, "m2: context deadline exceeded", 0},
		{"all, one panics", all, time.Hour, []scripted{good, broken}, "m2: the check panicked: oh", 0},
		{"all, the lowest weight counts", all, time.Hour, []scripted{half, good, tenth}, "slow", 10},
		{"all, degraded and failed", all, time.Hour, []scripted{half, bad}, "m2: broken", 0},
		{"any of one that fails", anyOf, time.Hour, []scripted{bad}, "none of them passes: m1: broken", 0},
		{"any", anyOf, time.Hour, []scripted{bad, good}, "", 0},
		{"any, the others are not waited for", anyOf, time.Hour, []scripted{silent, good, silent}, "", 0},
		{"any, none passes", anyOf, soon, []scripted{bad, worse}, "none of them passes: ", 0},
		{"any, none answers", anyOf, soon, []scripted{silent, silent}, "m1: context deadline exceeded", 0},
		{"any, the highest weight counts", anyOf, time.Hour, []scripted{bad, tenth, half}, "m3: slow", 50},
		{"any, one is better than degraded", anyOf, time.Hour, []scripted{half, good}, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := grouped(tc.judge, tc.limit, tc.members...).Check(t.Context())
			if tc.want == "" {
				if err != nil {
					t.Errorf("not healthy: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q in it", err, tc.want)
			}
			if d, ok := service.AsDegraded(err); ok != (tc.weight > 0) || d.Weight != tc.weight {
				t.Errorf("degraded is %v to %d %%, want %d", ok, d.Weight, tc.weight)
			}
		})
	}
}

// What keeps a member from being made keeps the group, and whoever lowers
// weights, from a verdict: the loop has to see the system's own error.
func TestOutOfMeansStaysVisible(t *testing.T) {
	only := common{OnlyDegrades: true, DegradedWeight: 70}
	for name, check := range map[string]service.Check{
		"all":                    grouped(all, time.Hour, half, unmade),
		"any":                    grouped(anyOf, time.Hour, bad, unmade),
		"any, one is degraded":   grouped(anyOf, time.Hour, unmade, half),
		"only_degrades":          only.weigh(unmade),
		"an only_degrades group": only.weigh(grouped(anyOf, time.Hour, bad, unmade)),
	} {
		err := check.Check(t.Context())
		if _, degraded := service.AsDegraded(err); degraded || !service.OutOfMeans(err) || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := grouped(anyOf, time.Hour, unmade, good).Check(t.Context()); err != nil {
		t.Errorf("any, one passes: %v", err)
	}
}

func TestCancelEndsAGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- grouped(anyOf, time.Hour, silent, silent).Check(ctx) }()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestGroupFromFile(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	text := fmt.Sprintf(`{"type": "all", "rise": 3, "fall": 2, "host": "127.0.0.1", "checks": [
		{"type": "tcp", "port": %d},
		{"type": "any", "port": %d, "checks": [{"type": "base"}, {"type": "tcp", "timeout": 7}]},
		{"type": "base", "only_degrades": true, "degraded_weight": 30, "name": "the base"}
	]}`, port, port)
	b, r := build(t, text)
	if r.Err() != nil || len(r.Warnings()) > 0 {
		t.Fatal(r.Err(), r.Warnings())
	}
	where := fmt.Sprintf("127.0.0.1:%d", port)
	want := "web all of web tcp-" + where + ", web any of web base-" + where + ", web tcp-" + where + ", the base"
	if b.Name != want || b.Rise != 3 || b.Fall != 2 || b.Timeout != 7*time.Second {
		t.Errorf("%+v, want the name %q", b, want)
	}
	d, ok := service.AsDegraded(b.Check.Check(t.Context()))
	if diff := cmp.Diff(30, d.Weight); !ok || diff != "" || !strings.HasPrefix(d.Reason, "the base: ") {
		t.Errorf("%v, %+v", ok, d)
	}
}

func TestGroupFaults(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`{"type":"all"}`, `"checks" is required`},
		{`{"type":"any","checks":[]}`, "checks: is empty"},
		{`{"type":"any","checks":[{"type":"tcp","rise":2}]}`, "checks[0].rise: belongs to the group"},
		{`{"type":"any","checks":[{"type":"tcp","fall":2}]}`, "checks[0].fall: belongs to the group"},
		{`{"type":"any","checks":[{"type":"none"}]}`, `checks[0].type: "none" is no check`},
		{`{"type":"any","checks":["tcp"]}`, "want an object"},
		{`{"type":"tcp","degraded_weight":0}`, "degraded_weight: want 1 to 99"},
		{`{"type":"tcp","degraded_weight":100}`, "degraded_weight: want 1 to 99"},
	} {
		_, r := build(t, tc.text)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", tc.text, err, tc.want)
		}
	}
}

func TestWeight(t *testing.T) {
	deep := scripted{err: service.Degraded{Reason: "deep"}}
	for _, tc := range []struct {
		check  scripted
		only   bool
		weight int // of a degraded result
		want   string
	}{
		{good, true, 0, ""},
		{bad, false, 0, "broken"},
		{bad, true, 70, "broken"},
		{deep, false, 70, "deep"},
		{half, true, 50, "slow"},
	} {
		c := common{OnlyDegrades: tc.only, DegradedWeight: 70}
		err := c.weigh(tc.check).Check(t.Context())
		d, _ := service.AsDegraded(err)
		if d.Weight != tc.weight || (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v", tc, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := common{OnlyDegrades: true, DegradedWeight: 70}
	if err := c.weigh(silent).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short: %v", err)
	}
}
