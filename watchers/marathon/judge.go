package marathon

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
)

// judgement is what an answer means for the service.
type judgement struct {
	publish bool // update is what the service looks like now
	update  service.Update
	doubt   error     // why it is not; nil = it is
	again   time.Time // when to read the app again, beside the usual times; zero = need not
}

// doubts is since when an answer is not believed; zero = it is.
type doubts struct {
	empty, missing time.Time
	unusable       string // the log has said so
}

// judge decides what an answer means: nothing leaves by accident.
func (w *Watcher) judge(answer *marathonconn.Answer, now time.Time) judgement {
	if answer.Missing {
		return w.judgeMissing(answer, now)
	}
	w.doubts.missing = time.Time{}
	c := w.rules.count(answer.App, w.memory, now)
	suspended := len(answer.App.Tasks) == 0 && answer.App.Defined && answer.App.Instances == 0
	switch {
	case suspended: // a decision of its owner
	case len(answer.App.Tasks) == 0:
		return w.wait(&w.doubts.empty, w.emptyGrace, now, fmt.Errorf("no task of %s is listed, though it should have some; a new leader of Marathon says so at first", w.query.App))
	case c.in == 0 && c.unusable > 0:
		return w.unusable(fmt.Errorf("none of the %d tasks of %s can be used: %s", len(answer.App.Tasks), w.query.App, c.reason))
	case c.in == 0 && c.undecided > 0:
		return w.wait(&w.doubts.empty, w.emptyGrace, now, fmt.Errorf("no task of %s has a health check's result; a new leader of Marathon has none at first", w.query.App))
	}
	w.doubts.empty, w.doubts.unusable = time.Time{}, ""
	if len(answer.App.Tasks) > 0 {
		w.memory.sweep(now)
	}
	j := judgement{publish: true, update: c.builder.Update(), again: c.again}
	j.update.Emptied = suspended
	return j
}

// unusable keeps the backends, and says why once.
func (w *Watcher) unusable(doubt error) judgement {
	if text := doubt.Error(); text != w.doubts.unusable {
		w.doubts.unusable = text
		w.log.Warn("the backends stay as they are", "reason", text)
	}
	return judgement{doubt: doubt}
}

func (w *Watcher) judgeMissing(answer *marathonconn.Answer, now time.Time) judgement {
	if answer.Terminated {
		w.doubts = doubts{missing: now.Add(-w.goneAfter)}
	}
	j := w.wait(&w.doubts.missing, w.goneAfter, now, fmt.Errorf("there is no app %s in Marathon; check application_name", w.query.App))
	j.update.Emptied = j.publish
	return j
}

// wait believes an answer without backends once it was the same for long
// enough.
func (w *Watcher) wait(since *time.Time, grace time.Duration, now time.Time, doubt error) judgement {
	if since.IsZero() {
		*since = now
		if grace > 0 {
			w.log.Warn("the backends stay as they are for now", "reason", doubt.Error(), "for", grace)
		}
	}
	if until := since.Add(grace); now.Before(until) {
		return judgement{doubt: doubt, again: until}
	}
	return judgement{publish: true}
}

// tally is the sum of the verdicts on an app's tasks.
type tally struct {
	builder                 service.Builder
	in, undecided, unusable int
	reason                  string // of the first that is unusable
	again                   time.Time
}

// count judges each task.
func (r rules) count(a *marathonconn.App, m *memory, now time.Time) tally {
	var c tally
	var serving []entry
	m.sees(a, now)
	for i := range a.Tasks {
		t := &a.Tasks[i]
		v := r.task(a, t, m, now)
		if !v.again.IsZero() && (c.again.IsZero() || v.again.Before(c.again)) {
			c.again = v.again
		}
		b := service.Backend{Name: t.Host, Host: v.host, Port: v.port}
		if v.reason == "" && v.standing == in {
			if err := b.Validate(); err != nil {
				v.reason = err.Error()
			}
		}
		switch {
		case v.reason != "":
			if c.unusable++; c.reason == "" {
				c.reason = t.ID + " " + v.reason
			}
			c.builder.Reject(t.ID, v.reason)
		case v.standing == in:
			c.in++
			serving = append(serving, entry{t.ID, b})
		default:
			if v.standing == undecided {
				c.undecided++
			}
			c.builder.Idle(v.name(t), v.idle)
		}
	}
	slices.SortStableFunc(serving, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Port, y.Port))
	})
	for _, e := range serving {
		c.builder.Add(e.task, e.Backend)
	}
	return c
}

// name tells a person which task it is, with its address where that is known.
func (v verdict) name(t *marathonconn.Task) string {
	if v.host == "" {
		return t.ID
	}
	return t.ID + "@" + service.Backend{Host: v.host, Port: v.port}.Address()
}

type entry struct {
	task string
	service.Backend
}
