package haproxy

// hook is told of every step of an Apply, so that a test can end a synapse
// between any two of them. It is nil outside of tests.
type hook func(step string)

// The steps at which a hook is called. The first ones are of the goroutine that
// calls Apply, those from atJob on of the job that it has started.
const (
	atApply  = "apply"
	atSync   = "sync"
	atSynced = "synced"
	atStart  = "start a job"

	atJob      = "job"
	atStaged   = "job: staged"
	atChecked  = "job: checked"
	atDue      = "job: reload noted"
	atLive     = "job: file is live"
	atReload   = "job: reload"
	atReloaded = "job: reloaded"
	atSaved    = "job: state saved"
	atSpare    = "job: spare made"
)

func (h hook) at(step string) {
	if h != nil {
		h(step)
	}
}
