package socket

import (
	"strings"
	"testing"
)

const details = `# pxname,svname,qcur,scur,type,status,weight,bck,sid,addr,check_status,check_code,last_chk,lastchg,stot,econ,eresp,bin,bout,chkfail,
web,FRONTEND,,1,0,OPEN,,,0,,,,,,5,,,10,20,,
web,w1_10.0.0.1:80,0,2,2,DOWN,3,0,7,10.0.0.1:80,L7STS,503,"HTTP ""x"", gone",12,5,1,2,10,20,4,
web,BACKEND,3,2,1,UP,3,0,0,,,,,99,5,1,2,10,20,,
`

// parseDetails reads a whole reply.
func parseDetails(text string) (list []Detail, err error) {
	var r Details
	for line := range strings.Lines(text) {
		d, ok, err := r.Line([]byte(strings.TrimRight(line, "\n")))
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, d)
		}
	}
	return list, nil
}

func TestParseDetails(t *testing.T) {
	list, err := parseDetails(details)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	want := Detail{
		Backend: "web", Name: "w1_10.0.0.1:80", Status: "DOWN", Weight: 3, SetWeight: -1, ID: 7, Addr: "10.0.0.1:80",
		Check: `L7STS/503: HTTP ""x"", gone`, Since: 12, Sessions: 2, Total: 5, Errors: 3, In: 10, Out: 20, Failures: 4,
	}
	if list[0] != want {
		t.Errorf("%+v", list[0])
	}
	if !list[1].IsBackend() || list[1].Queued != 3 || list[1].Backups != 0 || list[0].IsBackend() {
		t.Errorf("%+v", list[1])
	}
	if _, err := parseDetails("No such proxy.\n"); err == nil {
		t.Error("took a refusal")
	}
}

func FuzzParseDetails(f *testing.F) {
	f.Add(details)
	f.Add("# pxname,type\n,2\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseDetails(text)
		if err != nil && list != nil {
			t.Errorf("%d servers beside %v", len(list), err)
		}
	})
}
