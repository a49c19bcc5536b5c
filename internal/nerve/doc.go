// Package nerve keeps the registrations of a host's services true. Each service
// is a unit: a probe per check, which calls it on a timetable of its own; a
// judge, who decides whether the service is up; and a desk per reporter, which
// makes true what is wanted:
//
//	probe (a check) ──┐                           ┌──> desk (Report, Close)
//	probe (a check) ──┴──> turn: judge ──> want ──┴──> desk
//
// Whoever has news, which is mostly a probe, takes the unit's turn and thinks for
// the whole service: one at a time, without a lock or a goroutine that waits. A
// reporter has a goroutine of its own because a registry that hangs must neither
// delay the next check nor the withdrawal from a second registry. The desks are
// woken once in a round, and every two seconds where rounds are rarer, so a
// report that failed, or a registration that vanished, is repaired then.
//
// Run owns all units and follows reloads: a service whose options did not
// change is left alone, a changed one is started anew and takes over after its
// first report, one that is gone is withdrawn. What belongs to a service's name
// rather than to its unit (orders, damping, its place at max_down_at_once) is in
// its seat. Run knows no plugin; the program builds checks and reporters and
// hands them over in a Config. Control is how operators talk to it.
//
//	configs := mailbox.New[nerve.Config](wake)
//	configs.Put(first)
//	control := nerve.NewControl()
//	err := nerve.Run(ctx, configs, wake, control, log)
package nerve
