package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/walkd/walkd/internal/walking"
)

// A personDay is one civil day of one person.
type personDay struct {
	Person string
	walking.Summary
}

// An exportedDay is a day as `walkd days` hands it out. Names, order and meaning are a contract.
type exportedDay struct {
	Person             string   `json:"person"`
	Date               string   `json:"date"`
	Zone               string   `json:"zone"`
	Steps              int64    `json:"steps"`
	WalkingMinutes     float64  `json:"walking_minutes"`
	Low                float64  `json:"low"`
	High               float64  `json:"high"`
	BriskMinutes       float64  `json:"brisk_minutes"`
	RunningMinutes     float64  `json:"running_minutes"`
	AlternativeMinutes float64  `json:"alternative_minutes"`
	TargetMinutes      float64  `json:"target_minutes"`
	Met                bool     `json:"met"`
	Band               string   `json:"band"`
	Valid              bool     `json:"valid"`
	Closed             bool     `json:"closed"`
	Mean7              *float64 `json:"mean7"` // null if no day counts
	Sources            []string `json:"sources"`
	Estimator          string   `json:"estimator"`
}

func exportDay(d personDay) exportedDay {
	e := exportedDay{
		Person: d.Person, Date: d.Day.String(), Zone: d.Zone, Steps: d.Steps,
		WalkingMinutes: d.Walking, Low: d.Low, High: d.High, BriskMinutes: d.Brisk, RunningMinutes: d.Running,
		AlternativeMinutes: d.Alternative, TargetMinutes: d.Target, Met: d.Met, Band: d.Band.String(),
		Valid: d.Valid, Closed: d.Closed, Sources: []string{}, Estimator: d.Estimator,
	}
	if d.Mean7Days > 0 {
		e.Mean7 = &d.Mean7
	}
	for _, s := range d.Sources {
		if s.Counted {
			e.Sources = append(e.Sources, s.String())
		}
	}
	return e
}

// writeDaysJSON writes days as one JSON array, an object a line, one day in memory at a time. It stops at the first
// error of days or w and returns it; the array then stays open, so that nobody takes it for whole.
func writeDaysJSON(w io.Writer, days iter.Seq2[personDay, error]) error {
	out := bufio.NewWriter(w)
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false) // "<78" stays readable
	before := "[\n"
	for d, err := range days {
		if err != nil {
			return flushed(out, err)
		}
		line.Reset()
		if err := encoder.Encode(exportDay(d)); err != nil {
			return flushed(out, err)
		}
		out.WriteString(before)
		if _, err := out.Write(bytes.TrimSuffix(line.Bytes(), []byte("\n"))); err != nil {
			return err
		}
		before = ",\n"
	}
	if before == "[\n" {
		out.WriteString("[]\n")
	} else {
		out.WriteString("\n]\n")
	}
	return out.Flush()
}

// flushed writes what is left in out and returns err.
func flushed(out *bufio.Writer, err error) error {
	_ = out.Flush()
	return err
}

// writeDaysCSV writes days as CSV under a line with the names of writeDaysJSON. No mean7 is an empty field; several
// sources are separated by "; ". It stops at the first error of days or w and returns it.
func writeDaysCSV(w io.Writer, days iter.Seq2[personDay, error]) error {
	out := csv.NewWriter(w)
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	header := strings.Fields(`person date zone steps walking_minutes low high brisk_minutes running_minutes
		alternative_minutes target_minutes met band valid closed mean7 sources estimator`)
	if err := out.Write(header); err != nil {
		return err
	}
	for d, err := range days {
		if err != nil {
			out.Flush()
			return err
		}
		e := exportDay(d)
		mean7 := ""
		if e.Mean7 != nil {
			mean7 = number(*e.Mean7)
		}
		row := []string{
			e.Person, e.Date, e.Zone, strconv.FormatInt(e.Steps, 10), number(e.WalkingMinutes), number(e.Low),
			number(e.High), number(e.BriskMinutes), number(e.RunningMinutes), number(e.AlternativeMinutes),
			number(e.TargetMinutes), strconv.FormatBool(e.Met), e.Band, strconv.FormatBool(e.Valid),
			strconv.FormatBool(e.Closed), mean7, strings.Join(e.Sources, "; "), e.Estimator,
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
