// Package checkconn is what all checks that talk over a connection share: where
// the target is, how TLS to it is set up, and connections that never outlive
// the call of a check.
//
//	conn, err := c.dialer.Dial(ctx)  // ends with ctx, whatever the target does
//	if err != nil {
//		return err
//	}
//	defer conn.Close()
//	return checkconn.Ended(ctx, talk(conn))
package checkconn
