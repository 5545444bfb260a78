package googlehealth

import (
	"io"
	"net/http"
	"time"

	"github.com/walkd/walkd/internal/walking"
)

// What the tests compare with Google's discovery document: our structs by the name of the schema that they are of.
var Schemas = map[string][]any{
	"ReconciledDataPoint":     {stepsPoint{}, exercisePoint{}},
	"ObservationTimeInterval": {interval{}},
	"SessionTimeInterval":     {interval{}},
	"PairedDevice":            {pairedDevice{}},
	"Settings":                {settings{}},
	"DailyRollupDataPoint":    {totalPoint{}},

	"DailyRollUpDataPointsRequest": {totalsRequest{}},
}

var (
	Paths  = []string{stepsPath, totalsPath, exercisePath, devicesPath, settingsPath}
	Posted = totalsPath // the one that is not asked for with GET
	Sizes  = map[string]int{stepsPath: stepsSize, exercisePath: exerciseSize, devicesPath: devicesSize}
	Scopes = map[string]string{
		stepsPath: activityScope, totalsPath: activityScope, exercisePath: activityScope, devicesPath: settingsScope,
		settingsPath: settingsScope,
	}
	KindOf  = kindOf
	Tracker = tracker
)

// Record is the outcome of ReadSteps for one point.
type Record = walking.Record

// ReadSteps reads a page of steps as Fetch does.
func ReadSteps(page io.Reader) (records []Record, token string, err error) {
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(page)}
	token, err = readPage(resp, "dataPoints", func(p *stepsPoint) error {
		r, err := p.record()
		records = append(records, r)
		return err
	})
	return records, token, err
}

// StepsPage is a page of steps as encoding/json reads it in one go.
type StepsPage struct {
	DataPoints    []stepsPoint `json:"dataPoints"`
	NextPageToken string       `json:"nextPageToken"`
}

// Records returns the records of a page.
func (p *StepsPage) Records() (records []Record, err error) {
	for i := range p.DataPoints {
		r, err := p.DataPoints[i].record()
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Unworn is unworn.
var Unworn = unworn

// InUse is inUse, and InDrawer its limit.
var InUse = inUse

const InDrawer = inDrawer

// KeepTime sets the time on the wall, from which the lives of tokens count.
func (p *Provider) KeepTime(now func() time.Time) { p.oauth.Wall = now }

// Limits are what is documented of one request, for the tests that count.
const (
	StepsSize    = stepsSize
	ExerciseSize = exerciseSize
	MaxTotals    = maxTotals
)
