package config_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"smartstack/internal/config"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// decodeOne decodes text as a T under the key "v" and returns what is said.
func decodeOne[T any](t *testing.T, text string) (v T, faults []string) {
	t.Helper()
	n, err := config.Parse("f", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	var o struct {
		V T `cfg:"v"`
	}
	var r config.Report
	n.Decode(&o, &r)
	for _, f := range r.Faults() {
		faults = append(faults, f.Error())
	}
	return o.V, faults
}

func accepts[T any](t *testing.T, text string, want T) {
	t.Helper()
	got, faults := decodeOne[T](t, text)
	if len(faults) > 0 {
		t.Errorf("%s as %T: %v", text, want, faults)
	}
	big := cmp.Comparer(func(a, b *big.Int) bool { return a == b || a != nil && b != nil && a.Cmp(b) == 0 })
	if diff := cmp.Diff(want, got, big, cmpopts.IgnoreTypes(&config.Node{})); diff != "" {
		t.Errorf("%s: %s", text, diff)
	}
}

func refuses[T any](t *testing.T, text, want string) {
	t.Helper()
	if _, faults := decodeOne[T](t, text); !slices.Equal(faults, []string{want}) {
		t.Errorf("%s as %T:\n got %q\nwant %q", text, *new(T), faults, want)
	}
}

func TestScalars(t *testing.T) {
	accepts(t, `{"v": "a"}`, "a")
	accepts(t, `{"v": 80}`, "80")
	accepts(t, `{"v": 1.50}`, "1.50")
	accepts(t, `{"v": true}`, "true")
	accepts(t, `v: yes`, "yes")
	accepts(t, `v: 0755`, "0755")
	accepts(t, `v: "80"`, 80)
	accepts(t, `v: " 80 "`, 80)
	accepts(t, `v: "080"`, 80)
	accepts(t, `v: 080`, 80) // not octal: Ruby takes it for text
	accepts(t, `v: 0755`, 0o755)
	accepts(t, `v: 0x1F`, 31)
	accepts(t, `v: 1_000`, 1000)
	accepts(t, `{"v": 3.0}`, 3)
	accepts(t, `{"v": 65535}`, uint16(65535))
	accepts(t, `{"v": "0.5"}`, 0.5)
	accepts(t, `v: .5`, 0.5)
	accepts(t, `v: null`, "")
	for _, yes := range []string{"true", "yes", "on", "True", "YES", `"true"`, `"yes"`, `'On'`} {
		accepts(t, "v: "+yes, true)
	}
	for _, no := range []string{"false", "no", "off", `"no"`} {
		accepts(t, "v: "+no, false)
	}
	huge, _ := new(big.Int).SetString("340282366920938463463374607431768211455", 10)
	accepts(t, `{"v": 340282366920938463463374607431768211455}`, huge)
	accepts(t, `{"v": "340282366920938463463374607431768211455"}`, huge)
	accepts(t, `{"v": null}`, (*big.Int)(nil))
	accepts(t, `{"v": 5}`, new(int64(5)))
	accepts(t, `{}`, (*int64)(nil))

	refuses[int](t, `{"v": "30x0"}`, `f:1:7: v: want a whole number, got "30x0"`)
	refuses[int](t, `{"v": 80.5}`, `f:1:7: v: want a whole number, got 80.5`)
	refuses[int](t, `{"v": true}`, `f:1:7: v: want a whole number, got true`)
	refuses[int](t, `{"v": ""}`, `f:1:7: v: want a whole number, got ""`)
	refuses[uint16](t, `{"v": 70000}`, `f:1:7: v: want a whole number from 0 to 65535, got 70000`)
	refuses[uint16](t, `{"v": -1}`, `f:1:7: v: want a whole number from 0 to 65535, got -1`)
	refuses[int8](t, `{"v": 200}`, `f:1:7: v: want a whole number from -128 to 127, got 200`)
	refuses[bool](t, `{"v": "maybe"}`, `f:1:7: v: want true or false, got "maybe"`)
	refuses[bool](t, `{"v": 1}`, `f:1:7: v: want true or false, got 1`)
	refuses[float64](t, `{"v": "fast"}`, `f:1:7: v: want a number, got "fast"`)
	refuses[string](t, `{"v": {}}`, `f:1:7: v: want text, got an object`)
	refuses[*big.Int](t, `{"v": "0x1"}`, `f:1:7: v: want a whole number, got "0x1"`)
	refuses[complex64](t, `{"v": 1}`, `f:1:7: v: options of type complex64 are not supported`)
}

func TestSeconds(t *testing.T) {
	accepts(t, `{"v": 2}`, config.Seconds(2*time.Second))
	accepts(t, `{"v": 0.25}`, config.Seconds(250*time.Millisecond))
	accepts(t, `{"v": "1.5"}`, config.Seconds(1500*time.Millisecond))
	accepts(t, `{"v": "1m30s"}`, config.Seconds(90*time.Second))
	refuses[config.Seconds](t, `{"v": -1}`, `f:1:7: v: want 0 or more seconds, got -1`)
	refuses[config.Seconds](t, `{"v": 1e300}`, `f:1:7: v: want seconds, 1e300 is too many`)
	refuses[config.Seconds](t, `{"v": "soon"}`, `f:1:7: v: want seconds as a number, got "soon"`)
	var o struct {
		Skew config.Seconds `cfg:"skew,negative"`
	}
	var r config.Report
	parse(t, "skew: -2").Decode(&o, &r)
	if r.Err() != nil || o.Skew.Duration() != -2*time.Second {
		t.Errorf("got %v, %v", o.Skew, r.Err())
	}
}

func TestContainers(t *testing.T) {
	accepts(t, `{"v": "one"}`, []string{"one"})
	accepts(t, `{"v": ["a", 2, true]}`, []string{"a", "2", "true"})
	accepts(t, `{"v": {"type": "tcp"}}`, []check{{Type: "tcp"}})
	accepts(t, `{"v": [{"type": "tcp"}, {"type": "http"}]}`, []check{{"tcp"}, {"http"}})
	accepts(t, `{"v": {"type": "tcp"}}`, &check{"tcp"})
	accepts(t, `{"v": {"a": 1}}`, map[string]string{"a": "1"})
	accepts(t, `{"v": {"a": 0.5}}`, map[string]float64{"a": 0.5})
	accepts(t, `{"v": {"b": [1, {"x": null}], "a": "ü<>\/"}}`, config.JSON(`{"b":[1,{"x":null}],"a":"ü<>/"}`))
	accepts(t, `{"v": {"z": 1, "a": 2}}`, config.Map[int]{{Key: "z", Value: 1}, {Key: "a", Value: 2}})
	accepts(t, `{"v": null}`, config.Optional[int]{Set: true, Null: true})
	accepts(t, `{"v": 3}`, config.Optional[int]{Set: true, Value: 3})
	accepts(t, `{}`, config.Optional[int]{})
	refuses[[]string](t, `{"v": [["a"]]}`, `f:1:8: v[0]: want text, got a list`)
	refuses[[]string](t, `{"v": [null]}`, `f:1:8: v[0]: want text, got null`)
	refuses[map[string]string](t, `{"v": []}`, `f:1:7: v: want an object, got a list`)
	refuses[config.Map[check]](t, `{"v": {"a.b": {}}}`, `f:1:15: v["a.b"]: "type" is required`)
	refuses[config.Map[int]](t, `{"v": [1]}`, `f:1:7: v: want an object, got a list`)
	refuses[check](t, `{"v": "tcp"}`, `f:1:7: v: want an object, got "tcp"`)
}

func parse(t *testing.T, text string) *config.Node {
	t.Helper()
	n, err := config.Parse("f", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type common struct {
	Interval config.Seconds `cfg:"check_interval" default:"0.5"`
}

type statsd struct {
	Host string `cfg:"host" default:"localhost"`
	Port int    `cfg:"port" default:"8125"`
}

type options struct {
	common
	Hosts  []string                 `cfg:"hosts|zk_hosts" default:"[a, b]"`
	Path   string                   `cfg:"path" default:"/"`
	Statsd statsd                   `cfg:"statsd"`
	Max    config.Optional[int]     `cfg:"max" default:"10"`
	Rest   config.Map[*config.Node] `cfg:",rest"`
	Plugin struct {
		Tag string `cfg:"tag" default:"none"`
	} `cfg:",inline"`
	Internal int `cfg:"-"`
	Untagged int
	_        struct{} `cfg:"listen_port|comment,ignore"`
}

func TestDefaultsAndInline(t *testing.T) {
	var o options
	var r config.Report
	parse(t, `{"listen_port": 1, "nginx": {}, "tag": "x", "statsd": {"port": 1}}`).Decode(&o, &r)
	if r.Err() != nil || len(r.Warnings()) > 0 {
		t.Fatal(r.Err(), r.Warnings())
	}
	got := fmt.Sprintln(o.Interval.Duration(), o.Hosts, o.Path, o.Statsd, o.Max, o.Plugin.Tag, len(o.Rest), o.Rest[0].Key)
	if want := "500ms [a b] / {localhost 1} {10 false false} x 1 nginx\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o = options{}
	parse(t, `{}`).Decode(&o, &r)
	if o.Statsd != (statsd{"localhost", 8125}) || r.Err() != nil {
		t.Errorf("an absent object lost its defaults: %+v, %v", o.Statsd, r.Err())
	}
}

func TestAliases(t *testing.T) {
	var o struct {
		Hosts []string `cfg:"hosts|zk_hosts,required"`
	}
	var r config.Report
	parse(t, `{"zk_hosts": "a"}`).Decode(&o, &r)
	parse(t, `{"hosts": null, "zk_hosts": "b"}`).Decode(&o, &r)
	if r.Err() != nil || o.Hosts[0] != "b" {
		t.Errorf("got %v, %v", o.Hosts, r.Err())
	}
	parse(t, `{"hosts": "c", "zk_hosts": "d"}`).Decode(&o, &r)
	if want := []string{`f:1:16: zk_hosts: means the same as "hosts", which is used instead`}; !slices.Equal(r.Warnings(), want) || o.Hosts[0] != "c" {
		t.Errorf("got %v, %q", o.Hosts, r.Warnings())
	}
}

func TestRequired(t *testing.T) {
	var r config.Report
	parse(t, "services:\n  web:\n    host: null\n  db:\n").Decode(new(fleet), &r)
	want := strings.Join([]string{
		`f:1:1: "instance_id" is required`,
		`f:3:5: services.web: "port" is required`,
		`f:3:5: services.web.host: "host" is required, but it is null: Address to register.`,
		`f:4:6: services.db: "host" is required: Address to register.`,
		`f:4:6: services.db: "port" is required`,
	}, "\n")
	if diff := cmp.Diff(want, fmt.Sprint(r.Err())); diff != "" {
		t.Error(diff)
	}
}

func TestStrict(t *testing.T) {
	r := config.Report{Strict: true}
	parse(t, `{"instance_id": "i", "instance_id": "j", "sevices": {}}`).Decode(new(fleet), &r)
	want := "f:1:22: instance_id: written twice, first at f:1:2; this one counts\n" +
		`f:1:42: sevices: unknown option, did you mean "services"?`
	if diff := cmp.Diff(want, fmt.Sprint(r.Err())); diff != "" || len(r.Warnings()) > 0 {
		t.Error(diff, r.Warnings())
	}
}

type limits struct {
	Low  int `cfg:"low"`
	High int `cfg:"high"`
}

func (l *limits) Validate(n *config.Node, r *config.Report) {
	if l.Low > l.High {
		r.Fault(n.Get("low"), "want at most high, %d, got %d", l.High, l.Low)
	}
}

func TestValidate(t *testing.T) {
	refuses[[]limits](t, `{"v": [{"low": 2, "high": 1}]}`, `f:1:16: v[0].low: want at most high, 1, got 2`)
	refuses[limits](t, `{"v": {"low": 2, "high": "x"}}`, `f:1:26: v.high: want a whole number, got "x"`)
	refuses[struct{ limits }](t, `{"v": {"low": 2, "high": 1}}`, `f:1:15: v.low: want at most high, 1, got 2`)
	accepts(t, `{"v": {"low": 1, "high": 1}}`, limits{1, 1})
}
