package pull_test

import (
	"testing"
	"time"
)

// A phone goes on counting while the watch lies in a drawer and syncs no more.
func TestPhoneCountsWhileWatchDoesNotSync(t *testing.T) {
	r := minutelyRig(t)
	r.connect()
	r.service.lock(func() { r.service.synced = noon.Add(-30 * 24 * time.Hour) })
	r.poll()
	end := noon.Add(8 * time.Hour)
	walked := noon.Add(time.Hour)
	r.service.walk(walked, 20, 100)
	for r.now.Now().Before(end) {
		next := r.poll()
		r.now.set(next)
	}
	if _, ok := r.stored()[walked]; !ok {
		t.Errorf("what was walked at %s is not there at %s", walked, end)
	}
}
