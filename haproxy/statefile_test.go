package haproxy

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

func TestStateFileIsRubys(t *testing.T) {
	data, err := os.ReadFile("testdata/ruby/state.json")
	if err != nil {
		t.Fatal(err)
	}
	state, problems := DecodeState(data, testTime, time.Hour)
	if len(problems) > 0 {
		t.Error(problems)
	}
	want := State{
		{Service: "web", Config: `{"port":80,"listen":[],"server_options":""}`, Servers: []Remembered{{
			Server: "a_10.0.0.1:80", ID: 3, Seen: testTime,
			Backend: service.Backend{
				Name: "a", Host: "10.0.0.1", Port: 80, ID: service.KnownInt(7),
				ServerOptions: "backup >x", Labels: `{"az":"b","l":[1,2],"e":{}}`,
			},
		}}},
		{Service: "empty", Config: `{}`},
	}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Error(diff)
	}
	// Ruby's older writers break the line within empty lists and objects.
	ruby := strings.NewReplacer("[\n\n      ]", "[]", "{\n        }", "{}", "{\n    }", "{}").Replace(string(data))
	if diff := cmp.Diff(ruby, string(state.Encode())); diff != "" {
		t.Errorf("-ruby +ours\n%s", diff)
	}
}

func TestDecodeState(t *testing.T) {
	const entry = `"timestamp":1700000000,"host":"h","port":1`
	for name, c := range map[string]struct {
		data     string
		servers  []string
		problems string
	}{
		"empty":              {data: " \n"},
		"not JSON":           {data: "{", problems: "no valid JSON"},
		"binary":             {data: "\x00\xff", problems: "no valid JSON"},
		"a list":             {data: "[]", problems: "no object"},
		"service no object":  {data: `{"s":1}`, problems: `service "s"`},
		"server no object":   {data: `{"s":{"h:1":3}}`, problems: `server "h:1"`},
		"text for a number":  {data: `{"s":{"h:1":{"timestamp":"1700000000","host":"h","port":"1"}}}`, servers: []string{"h:1"}},
		"with a fraction":    {data: `{"s":{"h:1":{"timestamp":1700000000.5,"host":"h","port":1}}}`, servers: []string{"h:1"}},
		"no timestamp":       {data: `{"s":{"h:1":{"host":"h","port":1}}}`, problems: "timestamp"},
		"too old":            {data: `{"s":{"h:1":{"timestamp":1699996399,"host":"h","port":1}}}`},
		"just not too old":   {data: `{"s":{"h:1":{"timestamp":1699996400,"host":"h","port":1}}}`, servers: []string{"h:1"}},
		"bad name":           {data: `{"s":{"a b":{` + entry + `},"h:1":{` + entry + `}}}`, servers: []string{"h:1"}, problems: "no such name"},
		"bad host":           {data: `{"s":{"h:1":{"timestamp":1700000000,"host":"h\nx","port":1}}}`, problems: "character"},
		"twice":              {data: `{"s":{"a":{` + entry + `},"b":{` + entry + `},"a":{` + entry + `}}}`, servers: []string{"a", "b"}},
		"nothing after it":   {data: `{"s":{"a":{` + entry + `}}} x`, problems: "no valid JSON"},
		"negative id":        {data: `{"s":{"a":{` + entry + `,"haproxy_server_id":-4}}}`, servers: []string{"a"}},
		"unknown keys stand": {data: `{"s":{"a":{` + entry + `,"x":[1]}}}`, servers: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			state, problems := DecodeState([]byte(c.data), testTime, time.Hour)
			var servers []string
			for _, s := range state {
				for _, m := range s.Servers {
					servers = append(servers, m.Server)
					if m.ID < 0 {
						t.Error("negative id")
					}
				}
			}
			if diff := cmp.Diff(c.servers, servers); diff != "" {
				t.Error(diff)
			}
			if got := strings.Join(problems, "\n"); !strings.Contains(got, c.problems) || (c.problems == "") != (got == "") {
				t.Errorf("problems %q, want %q", got, c.problems)
			}
		})
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"s":{"h:1":{"timestamp":1700000000,"host":"h","port":1,"labels":{"a":1}},"watcher_config_for_generator":{}}}`))
	f.Add([]byte(`{"s":{"a":null,"b":{"timestamp":1e99}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, _ := DecodeState(data, testTime, time.Hour)
		again, problems := DecodeState(state.Encode(), testTime, time.Hour)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if diff := cmp.Diff(state.Encode(), again.Encode()); diff != "" {
			t.Error(diff)
		}
	})
}
