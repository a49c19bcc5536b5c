package socket

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const stateHeader = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"

func TestParseServersState(t *testing.T) {
	got, err := ParseServersState(stateHeader +
		"3 web 1 a_127.0.0.1:9001 127.0.0.1 0 0 1 1 2 8 2 0 6 0 0 1 - 9001 - 0 0 - - 0\n" +
		"3 web 2 b 127.0.0.1 0 5 1 1 2 1 0 0 14 0 0 1 - 9002 - 0 0 - - 0\n" +
		"5 ck 3 un - 2 8 100 1 2 1 0 2 0 0 0 1 - 0 - 0 0 - - 0\n" +
		"5 ck 6 no - 0 32 1 1 2 1 0 0 0 0 0 1 nonexist.invalid 80 - 0 0 - - 0\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []ServerState{
		{Backend: "web", Name: "a_127.0.0.1:9001", BackendID: 3, ID: 1, Addr: "127.0.0.1", Port: 9001, Weight: 1, Checked: true},
		{Backend: "web", Name: "b", BackendID: 3, ID: 2, Addr: "127.0.0.1", Port: 9002, Weight: 1, Admin: ForcedMaint | ConfigMaint, Checked: true},
		{Backend: "ck", Name: "un", BackendID: 5, ID: 3, Weight: 100, Up: true, Admin: ForcedDrain},
		{Backend: "ck", Name: "no", BackendID: 5, ID: 6, Port: 80, Weight: 1, Admin: ResolverMaint, FQDN: "nonexist.invalid"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestParsersRefuseWhatTheyDoNotKnow(t *testing.T) {
	for _, text := range []string{
		"", "1", "2\n# be_id\n", "1\n# be_id be_name\n", "Permission denied", stateHeader + "3 web 1\n",
		stateHeader + "3 web x a 127.0.0.1 0 0 1 1 2 8 2 0 6 0 0 1 - 9001 - 0 0 - - 0\n",
		stateHeader + "3 web 1 a 127.0.0.1 0 -1 1 1 2 8 2 0 6 0 0 1 - 9001 - 0 0 - - 0\n",
	} {
		if got, err := ParseServersState(text); err == nil {
			t.Errorf("servers state %.60q: %v", text, got)
		}
	}
	for _, text := range []string{"", "Permission denied", "# pxname,svname\n", "# pxname,svname,qcur,scur,status,weight,bck,type\nweb,a\n"} {
		if got, err := ParseStat(text); err == nil {
			t.Errorf("stat %.60q: %v", text, got)
		}
	}
	for _, text := range []string{"", "Version: 2.6", "Pid: 3", "Version: 2.6\nPid: x\n"} {
		if got, err := ParseInfo(text); err == nil {
			t.Errorf("info %.60q: %v", text, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	got, err := ParseStat("# pxname,svname,qcur,scur,status,weight,act,bck,check_desc,type,slim,algo,\n" +
		"web,FRONTEND,,3,OPEN,,,,,0,9,,\n" + `web,a,1,2,UP,5,1,0,"x,y",2,30,,` + "\n" + "web,b,0,0,no check,1,0,1,,2,,,\n" + "web,BACKEND,0,0,UP,5,1,1,,1,,leastconn,\n\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Stat{
		{Backend: "web", Name: "a", Status: "UP", Sessions: 2, Queued: 1, Weight: 5, MaxConn: "30"},
		{Backend: "web", Name: "b", Status: "no check", Weight: 1, Backup: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestParseProxies(t *testing.T) {
	frontends, algorithms := ParseProxies("# pxname,svname,type,algo,\nweb,FRONTEND,0,,\nweb,a,2,,\nback,BACKEND,1,leastconn,\nold\n")
	if len(frontends) != 1 || !frontends["web"] || len(algorithms) != 1 || algorithms["back"] != "leastconn" {
		t.Fatal(frontends, algorithms)
	}
	if frontends, algorithms := ParseProxies("Permission denied"); len(frontends)+len(algorithms) != 0 {
		t.Fatal(frontends, algorithms)
	}
}

func TestParseInfo(t *testing.T) {
	got, err := ParseInfo("Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 13205\nUptime_sec: 7\nStopping: 1\nStart_time_sec: 1795323545\n")
	want := Info{Version: "2.6.12-1+deb12u4", PID: 13205, Start: time.Unix(1795323545, 0), Uptime: 7 * time.Second, Stopping: true}
	if err != nil || got != want {
		t.Fatal(got, err)
	}
}

func TestAtLeast(t *testing.T) {
	for _, tc := range []struct {
		version      string
		major, minor int
		want         bool
	}{
		{"2.6.12-1+deb12u4", 2, 6, true},
		{"2.6.12", 2, 7, false},
		{"3.0-dev3", 2, 9, true},
		{"2.10.1", 2, 9, true},
		{"1.9", 2, 0, false},
		{"", 0, 0, false},
		{"x.y", 0, 0, false},
		{"3", 2, 0, false},
	} {
		if got := (Info{Version: tc.version}).AtLeast(tc.major, tc.minor); got != tc.want {
			t.Errorf("%q at least %d.%d: %v", tc.version, tc.major, tc.minor, got)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add(stateHeader + "3 web 1 a 127.0.0.1 0 0 1 1 2 8 2 0 6 0 0 1 - 9001 - 0 0 - - 0\n")
	f.Add("1\n#" + strings.Repeat(" be_name srv_id", 50) + "\n\n \n#\nx")
	f.Add("# pxname,svname,qcur,scur,status,weight,act,bck,check_desc,type,slim,algo,\nweb,a,1,2,UP,5,1,0,\"x,y\",2,\n")
	f.Add("Version: 2.6\nPid: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if states, err := ParseServersState(text); err == nil {
			for _, s := range states {
				if s.Backend == "" || s.Name == "" || s.ID < 0 || s.Weight < 0 {
					t.Fatalf("%+v", s)
				}
			}
		}
		_, _ = ParseStat(text)
		if info, err := ParseInfo(text); err == nil && info.PID <= 0 {
			t.Fatalf("%+v", info)
		}
	})
}
