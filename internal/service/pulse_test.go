package service

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pulse
		p.Tell("a", nil)
		good := time.Now()
		<-time.After(time.Minute)
		p.Tell("b", errors.New("refused"))
		began := time.Now()
		<-time.After(time.Minute)
		p.Tell("b", errors.New("silent"))
		p.Tell("c", errors.New("gone"))
		c := p.Condition()
		if !c.Good.Equal(good) || len(c.Faults) != 2 || !c.Faults[0].Since.Equal(began) || c.Faults[0].Err.Error() != "silent" {
			t.Errorf("%+v", c)
		}
		p.Keep(func(part string) bool { return part == "b" })
		<-time.After(time.Minute)
		confirmed := time.Now()
		p.Confirmed(func() time.Time { return confirmed })
		if c := p.Condition(); !c.Good.Equal(confirmed) || len(c.Faults) != 1 {
			t.Errorf("%+v", c)
		}
		var whole Pulse
		whole.Tell("", errors.New("away"))
		sum := p.Condition()
		sum.Add("zk", whole.Condition())
		sum.Add("dns", p.Condition())
		var parts []string
		for _, f := range sum.Faults {
			parts = append(parts, f.Part)
		}
		if len(parts) != 3 || parts[0] != "b" || parts[1] != "dns: b" || parts[2] != "zk" {
			t.Errorf("%q", parts)
		}
		p.Tell("b", nil)
		if c := p.Condition(); len(c.Faults) != 0 || !c.Good.Equal(time.Now()) {
			t.Errorf("%+v", c)
		}
	})
}
