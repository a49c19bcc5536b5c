package haproxy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deed is one thing that happens to the world, to synapse or to HAProxy. What
// exactly is drawn from its own seed, so that deeds stay what they are when
// others are left out.
type deed struct {
	kind string
	seed uint64
}

func (d deed) String() string { return fmt.Sprintf("%s/%d", d.kind, d.seed) }

// deeds lists what can happen, and how often.
var deeds = []struct {
	kind   string
	weight int
	do     func(a *arena, rnd *rand.Rand)
}{
	{"members", 40, (*arena).members},
	{"burst", 4, (*arena).burst},
	{"fleet", 1, (*arena).fleet},
	{"empty", 2, (*arena).empty},
	{"service", 3, (*arena).toggleService},
	{"lines", 2, (*arena).lines},
	{"time passes", 10, (*arena).timePasses},
	{"calm", 10, (*arena).calm},
	{"synapse restarts", 4, (*arena).restartSynapse},
	{"synapse dies at a step", 12, (*arena).dieAtStep},
	{"synapse dies at a command", 8, (*arena).dieAtCommand},
	{"haproxy dies", 3, (*arena).killHAProxy},
	{"haproxy starts with an old file", 3, (*arena).oldHAProxy},
	{"haproxy hangs", 2, (*arena).hang},
	{"socket removed", 2, (*arena).removeSocket},
	{"socket fails", 10, (*arena).failSocket},
	{"operator", 8, (*arena).operate},
	{"file edited", 4, (*arena).editFile},
	{"reload fails", 4, (*arena).failReload},
	{"check fails", 3, (*arena).failCheck},
}

// TestChaos plays random changes and faults against an Output and a real
// HAProxy. Whenever things are calm HAProxy, the file and the snapshot must be
// the same, and no server that stayed in all snapshots may ever leave rotation,
// not even between two commands. SEED repeats a run, STEPS makes it longer.
func TestChaos(t *testing.T) {
	steps, seed := 300, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("STEPS")); err == nil {
		steps, seed = n, rand.Uint64() // a long run looks for something new
	}
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SEED=%d STEPS=%d", seed, steps)
	rnd := rand.New(rand.NewPCG(seed, 2))
	program := make([]deed, steps)
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	for i := range program {
		n := rnd.IntN(total)
		for _, d := range deeds {
			if n -= d.weight; n < 0 {
				program[i] = deed{d.kind, rnd.Uint64()}
				break
			}
		}
	}
	at, log, err := play(t, program)
	if err == nil {
		return
	}
	t.Logf("step %d: %v\n%s", at, err, log)
	program, log, err = shrink(t, program[:at+1], log, err)
	t.Fatalf("SEED=%d, shrunk to %d steps %.2000s:\n%v\n%s", seed, len(program), fmt.Sprint(program), err, log)
}

// play runs a program from the beginning. It returns the step that failed.
func play(t *testing.T, program []deed) (at int, log string, err error) {
	t.Run("play", func(t *testing.T) {
		a := newArena(t)
		defer a.leave()
		for at = range program {
			d := program[at]
			a.trace("%d: %v", at, d)
			for _, known := range deeds {
				if known.kind == d.kind {
					known.do(a, rand.New(rand.NewPCG(d.seed, 3)))
				}
			}
			if a.failed == nil && at%4 == 3 {
				a.converge()
			}
			if at%1000 == 999 {
				t.Logf("%d steps", at+1)
			}
			if a.failed != nil {
				err, log = a.failed, a.story()
				return
			}
		}
		if a.converge(); a.failed != nil {
			err, log = a.failed, a.story()
		}
		t.Logf("%d applies, %d commands, %d reloads, calm %d times, %d servers watched", a.applies, a.relay.commands.Load(), a.reloads.Load(), a.calms, a.watched)
	})
	return at, log, err
}

// shrink leaves out steps as long as the program still fails.
func shrink(t *testing.T, program []deed, log string, err error) ([]deed, string, error) {
	end := time.Now().Add(time.Minute)
	fails := func(shorter []deed) bool {
		if time.Now().After(end) {
			return false
		}
		at, l, e := play(t, shorter)
		if e != nil {
			program, log, err = append([]deed(nil), shorter[:min(at+1, len(shorter))]...), l, e
		}
		return e != nil
	}
	for n := 4; n < len(program); n *= 3 {
		if fails(program[len(program)-n:]) {
			break
		}
	}
	for chunk := len(program) / 2; chunk > 0; chunk /= 2 {
		for i := 0; i+chunk <= len(program); {
			shorter := append(append([]deed(nil), program[:i]...), program[i+chunk:]...)
			if len(shorter) == 0 || !fails(shorter) {
				i += chunk
			}
		}
	}
	return program, log, err
}

// story returns the end of what happened, and before that what names the server
// which the failure begins with.
func (a *arena) story() string {
	lines := strings.Split(strings.TrimSpace(a.log.String()), "\n")
	end := max(0, len(lines)-60)
	server, _, _ := strings.Cut(a.failed.Error(), " ")
	var about []string
	for _, line := range lines[:end] {
		if strings.Contains(line, server) {
			about = append(about, line)
		}
	}
	return strings.Join(append(about[max(0, len(about)-40):], lines[end:]...), "\n")
}
