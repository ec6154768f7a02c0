package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/drwatch/drwatch/ledger"
)

// The stream of the ledger in which attestations are, and the kinds of its events.
// The actor is who said it, the body an [Attestation] in JSON.
const (
	Stream        = "attestations"
	KindAttested  = "attested"
	KindWithdrawn = "withdrawn"
)

// ErrNoLedger says that there is nowhere to write to and to read from.
var ErrNoLedger = errors.New("there is no ledger: add the key ledger to the file")

// RefusedError says what is wrong with an attestation; nothing was written.
type RefusedError struct {
	// About is what it was to be about.
	About    string
	Problems []Problem
}

func (e *RefusedError) Error() string {
	words := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		words[i] = p.Path + ": " + p.Message
	}
	return fmt.Sprintf("the word about %q is refused: %s", e.About, strings.Join(words, "; "))
}

// Attest writes down the word of a person. Known are the names of what may be
// attested: [Options.Attestable]. The error is a [RefusedError] where the word is
// none, and otherwise one of the ledger: it is then not known whether it arrived,
// and may be written again, with the same At. Zero At is now.
func Attest(ctx context.Context, s ledger.Store, a Attestation, known []string, now time.Time) error {
	a = a.at(now)
	a.Withdrawn = false
	return a.write(ctx, s, KindAttested, a.Check(known, now))
}

// Withdraw writes down that the last word about something is taken back: by whom,
// and, in the note, why. Until and Evidence are not needed. For the rest it is as
// [Attest].
func Withdraw(ctx context.Context, s ledger.Store, a Attestation, known []string, now time.Time) error {
	a = a.at(now)
	a.Withdrawn, a.Until = true, time.Time{}
	return a.write(ctx, s, KindWithdrawn, a.Check(known, now))
}

// at is the attestation with times as a ledger keeps them.
func (a Attestation) at(now time.Time) Attestation {
	if a.At.IsZero() {
		a.At = now
	}
	a.At, a.Until = a.At.UTC().Truncate(time.Microsecond), a.Until.UTC().Truncate(time.Microsecond)
	return a
}

func (a Attestation) write(ctx context.Context, s ledger.Store, kind string, wrong []Problem) error {
	if len(wrong) > 0 {
		return &RefusedError{About: a.Item, Problems: wrong}
	}
	if s == nil {
		return fmt.Errorf("attest %s: %w", a.Item, ErrNoLedger)
	}
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("attest %s: encode it: %w", a.Item, err)
	}
	// The same word has the same ID, so that writing it again adds nothing.
	sum := sha256.Sum256(append([]byte(kind), body...))
	draft := ledger.Draft{ID: hex.EncodeToString(sum[:]), Time: a.At, Kind: kind, Actor: a.By, Body: body}
	if _, err := s.Append(ctx, ledger.Append{Stream: Stream, After: ledger.Any, Drafts: []ledger.Draft{draft}}); err != nil {
		return fmt.Errorf("attest %s: %w", a.Item, err)
	}
	return nil
}

// Check finds what is wrong with an attestation that is made now.
func (a Attestation) Check(known []string, now time.Time) []Problem {
	var found problems
	if !slices.Contains(known, a.Item) {
		found.add("item", "nothing of the name %q is attested%s", a.Item, meantOrKnown(a.Item, known))
	}
	checkText(&found, "by", a.By, 255, "say who stands for it")
	if a.Withdrawn {
		checkText(&found, "note", a.Note, 2000, "say why it is withdrawn")
	} else {
		checkText(&found, "evidence", a.Evidence, 2000, "give what it rests on: a link, a ticket, or a few words")
		if a.Note != "" {
			checkText(&found, "note", a.Note, 2000, "")
		}
		if a.Evidence != "" {
			checkEvidence(&found, a.Evidence)
		}
		a.checkTimes(&found, now)
	}
	if a.At.After(now.Add(clockSlack)) {
		found.add("at", "%s has not come yet", a.At.UTC().Format(time.RFC3339))
	}
	return found
}

func (a Attestation) checkTimes(found *problems, now time.Time) {
	switch {
	case a.Until.IsZero():
		found.add("until", "say how long it counts, such as --valid-for 2160h")
	case !a.Until.After(now):
		found.add("until", "%s is past: it would count for nothing", a.Until.UTC().Format(time.RFC3339))
	case a.Until.Sub(a.At) > MaxValidity:
		found.add("until", "%s is longer than a year: what nobody looks at for so long is worth nothing", long(a.Until.Sub(a.At)))
	}
}

func checkText(found *problems, path, text string, most int, wanted string) {
	switch {
	case strings.TrimSpace(text) == "":
		found.add(path, "is empty: %s", wanted)
	case text != strings.TrimSpace(text) || strings.ContainsFunc(text, cannotBeShown):
		found.add(path, "is to be one line that can be shown, without blanks around it")
	case len(text) > most:
		found.add(path, "has %d bytes, %d is the most", len(text), most)
	case isPlaceholder(text):
		found.add(path, "is not filled in")
	}
}

func cannotBeShown(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

// checkEvidence finds links that lead nowhere, and such as nobody should follow.
func checkEvidence(found *problems, text string) {
	for _, word := range strings.Fields(text) {
		if !strings.Contains(word, "://") {
			continue
		}
		u, err := url.Parse(word)
		switch {
		case err != nil || u.Hostname() == "":
			found.add("evidence", "has a link in it that leads nowhere: write https://host/path")
		case u.User != nil:
			found.add("evidence", "has a user or a password in it, and the ledger keeps it for ever: take it away")
		case u.Scheme != "http" && u.Scheme != "https":
			found.add("evidence", "has a link in it that begins with neither http:// nor https://")
		}
	}
}

// Link gives the evidence as a link, where it is one that may be followed.
func (a Attestation) Link() (link string, ok bool) {
	u, err := url.Parse(a.Evidence)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	return u.String(), true
}

func meantOrKnown(word string, known []string) string {
	if guess := meant(word, known); guess != "" || len(known) == 0 {
		return guess
	}
	return ": known are " + strings.Join(known, ", ")
}
