package route53

import "time"

// SetPace sets the time between two calls, for tests whose clock stands still.
func (f *Fleet) SetPace(d time.Duration) { f.pace = d }

// CallsAMinute is the most that is ever asked of one account.
const CallsAMinute = callsAMinute
