// Package nerve keeps the registrations of a host's services true. Each
// service has one loop that runs its checks, decides whether it is up, and
// hands the wanted state to one desk per reporter:
//
//	loop (checks, rise/fall, rate limit) ──mailbox──> desk (Report, Close)
//	                                     ──mailbox──> desk
//
// A reporter has a goroutine of its own because a registry that hangs must
// neither delay the next check nor the withdrawal from a second registry. The
// loop puts the wanted state into the mailbox on every round, so a report that
// failed, or a registration that vanished, is repaired by the next round.
//
// Run owns all services and follows reloads: a service whose options did not
// change is left alone, a changed one is started anew and takes over after its
// first report, one that is gone is withdrawn. It knows no plugin; the program
// builds checks and reporters and hands them over in a Config.
//
//	configs := mailbox.New[nerve.Config](mailbox.NewWake())
//	configs.Put(first)
//	err := nerve.Run(ctx, configs, wake, log)
package nerve
