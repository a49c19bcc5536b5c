// Package haproxy makes one HAProxy equal to the newest snapshot: it decides
// what the configuration file says, writes it, and changes the running process.
//
// The pure half turns options and snapshots into text and does no I/O:
//
//	c := haproxy.NewComposer(options, services, hostname)
//	c.Recall(fileOnDisk, state)             // ids and servers of the run before
//	model := c.Compose(snapshot, time.Now())
//	text := model.Render()
//
// A Composer belongs to one goroutine. Cost follows the change: a service whose
// *service.Service is the one of the snapshot before keeps its *Section, text
// included, and Render only joins.
//
// The text follows the original byte by byte, except where HAProxy 2.3 and
// later would refuse it (see mend and rewriteTitle), where a line of the time
// after 1.6 would have vanished (see keywords.go), or where the registry could
// have written more than words on its own server lines: what comes from a
// registry never starts a line, and what would make HAProxy refuse the file is
// left out with a Warning.
package haproxy
