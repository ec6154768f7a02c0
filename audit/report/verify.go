package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// Verdict is what comes of holding a report against a ledger.
type Verdict struct {
	// Status is the worst of the steps: fail where something is not what it was,
	// unknown where that cannot be told.
	Status readiness.Status `json:"status"`
	// System, From, To, Made and Ledger are what the file says; zero where it is no report.
	System string    `json:"system"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Made   Made      `json:"made"`
	Ledger Ledger    `json:"ledger"`
	Steps  []Step    `json:"steps"`
}

// Step is one question, and its answer.
type Step struct {
	Name   StepName         `json:"step"`
	Status readiness.Status `json:"status"`
	Found  string           `json:"found"`
}

// StepName is one of a closed set.
type StepName string

// The steps, in their order.
const (
	// StepFile is whether the file is a report that this program can read.
	StepFile StepName = "file"
	// StepPage is whether the page says what its data say, byte for byte.
	StepPage StepName = "page"
	// StepLedger is whether it was made from this ledger, which still has it all.
	StepLedger StepName = "ledger"
	// StepChain is whether the ledger is sound up to the head of the report.
	StepChain StepName = "chain"
	// StepEvents is whether the events that the report names are those of the ledger.
	StepEvents StepName = "events"
	// StepSystem is whether the ledger tells of the system of the report.
	StepSystem StepName = "system"
	// StepData is whether the same data come out of the ledger again.
	StepData StepName = "data"
	// StepReceipt is whether the ledger notes the very file.
	StepReceipt StepName = "receipt"
)

// Steps lists every step.
func Steps() []StepName {
	return []StepName{StepFile, StepPage, StepLedger, StepChain, StepEvents, StepSystem, StepData, StepReceipt}
}

const (
	// mostFile is how long a file may be, in bytes.
	mostFile = 64 << 20
	// mostTold are the differences that are told one by one.
	mostTold = 5

	dataBegins = `<script type="application/json" id="drwatch-report">`
	dataEnds   = `</script>`
)

// verification goes along the steps.
type verification struct {
	store   ledger.Store
	data    *Data
	extent  ledger.Extent // of the ledger now
	verdict Verdict
	// foreign says that nothing more can be learned from this ledger.
	foreign bool
}

// Verify holds a report against the ledger that it was made from. The error is of
// reading the two; whatever is wrong with them is in the verdict.
func Verify(ctx context.Context, r io.Reader, store ledger.Store) (Verdict, error) {
	file, err := io.ReadAll(io.LimitReader(r, mostFile+1))
	if err != nil {
		return Verdict{}, fmt.Errorf("read the report: %w", err)
	}
	v := &verification{store: store}
	if v.file(file) {
		v.page(file)
		for _, step := range []func(context.Context) error{v.ledger, v.chain, v.collected} {
			if err := step(ctx); err != nil {
				return Verdict{}, fmt.Errorf("verify the report: %w", err)
			}
		}
		if err := v.receipt(ctx, file); err != nil {
			return Verdict{}, fmt.Errorf("verify the report: %w", err)
		}
	}
	return v.end(), nil
}

func (v *verification) say(name StepName, status readiness.Status, format string, arguments ...any) {
	v.verdict.Steps = append(v.verdict.Steps, Step{name, status, fmt.Sprintf(format, arguments...)})
}

// end adds the steps that were not made, and takes the worst.
func (v *verification) end() Verdict {
	made := make(map[StepName]Step)
	for _, s := range v.verdict.Steps {
		made[s.Name] = s
	}
	v.verdict.Steps, v.verdict.Status = nil, readiness.Pass
	for _, name := range Steps() {
		s, known := made[name]
		if !known {
			s = Step{name, readiness.Unknown, "not looked at, for what was found before"}
		}
		v.verdict.Steps = append(v.verdict.Steps, s)
		if s.Status.Severity() > v.verdict.Status.Severity() {
			v.verdict.Status = s.Status
		}
	}
	return v.verdict
}

// file finds the data in the page.
func (v *verification) file(file []byte) bool {
	if len(file) > mostFile {
		v.say(StepFile, readiness.Fail, "it is longer than %d bytes: that is no report of drwatch", mostFile)
		return false
	}
	_, after, begins := bytes.Cut(file, []byte(dataBegins))
	text, _, ends := bytes.Cut(after, []byte(dataEnds))
	if !begins || !ends {
		v.say(StepFile, readiness.Fail, "there are no data of drwatch in it: it is no report, or a part is missing")
		return false
	}
	var form struct {
		Format int  `json:"format"`
		Made   Made `json:"made"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		v.say(StepFile, readiness.Fail, "the data in it cannot be read: %v", err)
		return false
	}
	if form.Format != format {
		v.say(StepFile, readiness.Unknown, "its data have the form %d, and this program knows form %d: verify it with drwatch %s, that made it", form.Format, format, form.Made.Version)
		return false
	}
	v.data = new(Data)
	if err := json.Unmarshal(text, v.data); err != nil {
		v.say(StepFile, readiness.Fail, "the data in it cannot be read: %v", err)
		return false
	}
	d := v.data
	v.verdict.System, v.verdict.From, v.verdict.To, v.verdict.Made, v.verdict.Ledger = d.System, d.From, d.To, d.Made, d.Ledger
	v.say(StepFile, readiness.Pass, "a report of %s from %s to %s, made %s with drwatch %s", d.System, when(d.From), when(d.To), when(d.Made.At), d.Made.Version)
	return true
}

// page makes the page again.
func (v *verification) page(file []byte) {
	var again bytes.Buffer
	err := Render(&again, v.data)
	switch {
	case err == nil && bytes.Equal(again.Bytes(), file):
		v.say(StepPage, readiness.Pass, "the page says what its data say, byte for byte")
	case v.data.Layout != layout():
		v.say(StepPage, readiness.Unknown, "drwatch %s has laid it out otherwise than this program does: verify the page with that one", v.data.Made.Version)
	case err != nil:
		v.say(StepPage, readiness.Fail, "no page can be made of its data: %v", err)
	default:
		at := differ(again.Bytes(), file)
		v.say(StepPage, readiness.Fail, "the page was changed: in line %d it says %q, and its data say %q",
			1+bytes.Count(file[:at], []byte("\n")), excerpt(file, at), excerpt(again.Bytes(), at))
	}
}

// differ finds the first byte that is not the same.
func differ(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func excerpt(text []byte, at int) string {
	return string(text[max(0, min(at, len(text))-20):min(len(text), at+40)])
}

// ledger finds out whether the ledger can be the one.
func (v *verification) ledger(ctx context.Context) (err error) {
	if v.extent, err = v.store.Extent(ctx); err != nil {
		if errors.Is(err, ledger.ErrCorrupt) {
			v.foreign = true
			v.say(StepChain, readiness.Fail, "%v", err)
			return nil
		}
		return err
	}
	noted := v.data.Ledger
	switch {
	case v.extent.Last < noted.Last:
		v.foreign = true
		v.say(StepLedger, readiness.Fail, "the ledger ends with event %d, and the report rests on events up to %d: the newest were removed, or it is another ledger", v.extent.Last, noted.Last)
	case v.extent.First > noted.Last && noted.Last > 0:
		v.foreign = true
		v.say(StepLedger, readiness.Unknown, "all events of the report were pruned: the ledger begins with event %d; verify it against a backup or an export that was imported", v.extent.First)
	}
	return nil
}

// chain verifies the ledger up to the head of the report, and meets the events that
// the report names on the way.
func (v *verification) chain(ctx context.Context) error {
	if v.foreign {
		return nil
	}
	if v.data.Ledger.Last == 0 {
		v.say(StepLedger, readiness.Pass, "there was no event in the ledger yet")
		v.say(StepChain, readiness.Pass, "there was no event yet")
		v.say(StepEvents, readiness.Pass, "the report names none")
		return nil
	}
	m := &meeting{}
	then, err := standing(ctx, v.store, v.data.Ledger.Last)
	if err == nil {
		m = newMeeting(v.store, then.extent, v.data)
		_, err = ledger.Verify(ctx, m, nil)
	}
	switch {
	case errors.Is(err, ledger.ErrCorrupt):
		v.say(StepChain, readiness.Fail, "%v", err)
	case err != nil:
		return err
	default:
		v.say(StepChain, readiness.Pass, "no event from %d to %d is changed or missing", m.extent.First, m.extent.Last)
	}
	v.met(m, err == nil)
	return nil
}

// met tells what became of the events that the report names.
func (v *verification) met(m *meeting, sound bool) {
	there, pruned := v.data.Ledger, ""
	if v.extent.First > there.First {
		pruned = fmt.Sprintf("; the events before event %d were pruned since", v.extent.First)
	}
	switch {
	case m.same == 0 && len(m.others) > 0 && sound:
		v.foreign = true
		v.say(StepLedger, readiness.Fail, "it is another ledger: none of the %d events that the report names is in it", len(m.others))
		return
	case pruned != "":
		v.say(StepLedger, readiness.Unknown, "the ledger has the head of the report%s: they can be verified against a backup, or an export that was imported", pruned)
	default:
		v.say(StepLedger, readiness.Pass, "the ledger has all events from %d to %d", there.First, there.Last)
	}
	switch {
	case len(m.others) > 0:
		v.say(StepEvents, readiness.Fail, "%s", m.told())
	case m.same < m.named && sound && pruned == "":
		v.say(StepEvents, readiness.Fail, "%d of the %d events that the report names are not in the ledger", m.named-m.same, m.named)
	case m.same < m.named:
		v.say(StepEvents, readiness.Unknown, "%d of the %d events that the report names are as it says, and the others could not be read%s", m.same, m.named, pruned)
	default:
		v.say(StepEvents, readiness.Pass, "each of the %d events that the report names, and its head, has the hash that it says", m.named)
	}
}

// collected collects the same again.
func (v *verification) collected(ctx context.Context) error {
	if v.foreign || v.data.Ledger.Last > 0 && v.extent.First > v.data.Ledger.First {
		return nil
	}
	again, err := v.again(ctx)
	switch {
	case errors.Is(err, ErrSystem):
		v.say(StepSystem, readiness.Fail, "%v", err)
		return nil
	case errors.Is(err, ledger.ErrCorrupt):
		v.say(StepData, readiness.Fail, "the same cannot be collected again: %v", err)
		return nil
	case ctx.Err() != nil:
		return err
	case errors.Is(err, errOptions):
		v.say(StepData, readiness.Fail, "nothing can be collected of what the report says that it is of: %v", err)
		return nil
	case err != nil:
		return err
	}
	v.say(StepSystem, readiness.Pass, "the ledger tells of %s, and of no other system", v.data.System)
	return v.compare(again)
}

func (v *verification) again(ctx context.Context) (*Data, error) {
	d := v.data
	o := Options{System: d.System, From: d.From, To: d.To, Now: d.Made.At, By: d.Made.By, Version: d.Made.Version, Target: d.Target, Head: d.Ledger.Last}
	if d.Ledger.Last == 0 { // there was nothing yet
		return collect(ctx, &asOf{Store: v.store}, o)
	}
	return Collect(ctx, v.store, o)
}

func (v *verification) compare(again *Data) error {
	again.Layout = v.data.Layout // of the page, and not of the ledger
	says, err := plain(v.data)
	if err != nil {
		return err
	}
	is, err := plain(again)
	if err != nil {
		return err
	}
	var d differing
	d.compare("", says, is)
	if d.count == 0 {
		v.say(StepData, readiness.Pass, "the same data come out of the ledger again")
		return nil
	}
	v.say(StepData, readiness.Fail, "%s", d.String())
	return nil
}

// plain takes data apart.
func plain(d *Data) (any, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var all any
	return all, decoder.Decode(&all)
}
