package awsbackup

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/backup/types"
)

// point is what is kept of a recovery point. Its moments are on the clock of AWS.
type point struct {
	arn        string
	resource   string
	vault      string // ARN
	created    time.Time
	begun      time.Time // the earliest that its data can be of
	completed  time.Time // zero when it is not told
	status     types.RecoveryPointStatus
	message    string
	size       int64 // zero when it is not told
	encrypted  bool
	key        string
	days       int64 // of retention; zero is for ever, or not told
	continuous bool
}

func newPoint(p types.RecoveryPointByBackupVault) point {
	q := point{
		arn: aws.ToString(p.RecoveryPointArn), resource: aws.ToString(p.ResourceArn), vault: aws.ToString(p.BackupVaultArn),
		created: aws.ToTime(p.CreationDate), completed: aws.ToTime(p.CompletionDate), status: p.Status, message: aws.ToString(p.StatusMessage),
		size: aws.ToInt64(p.BackupSizeInBytes), encrypted: p.IsEncrypted, key: aws.ToString(p.EncryptionKeyArn),
	}
	q.begun = q.created
	if initiated := aws.ToTime(p.InitiationDate); !initiated.IsZero() && initiated.Before(q.begun) {
		q.begun = initiated
	}
	if p.Lifecycle != nil {
		q.days = max(0, aws.ToInt64(p.Lifecycle.DeleteAfterDays)) // -1 is for ever
	}
	// arn:aws:backup:<region>:<account>:recovery-point:continuous:<resource>
	q.continuous = strings.Contains(q.arn, ":recovery-point:continuous")
	return q
}

// whole reports whether one can restore from it.
// https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRecoveryPoint.html
func (p point) whole() bool {
	return !p.begun.IsZero() && (p.status == types.RecoveryPointStatusCompleted || p.status == types.RecoveryPointStatusAvailable)
}

// final reports whether its status is not about to change.
func (p point) final() bool {
	return p.status != types.RecoveryPointStatusCreating && p.status != types.RecoveryPointStatusDeleting
}

// holds is the newest moment of which it is known to hold the data. A continuous
// one lets go of what is older than its retention, and so holds younger data.
func (p point) holds(now time.Time) time.Time {
	if p.continuous && p.days > 0 {
		if start := now.Add(-time.Duration(p.days) * 24 * time.Hour); start.After(p.begun) {
			return start
		}
	}
	return p.begun
}

// name is the part of the ARN that tells it from others.
func (p point) name() string {
	parts := strings.SplitN(p.arn, ":", 6)
	return parts[len(parts)-1]
}

func byAge(a, b point) int {
	return cmp.Or(b.created.Compare(a.created), strings.Compare(a.arn, b.arn))
}

func newestWhole(points []point, now time.Time) (newest point, ok bool) {
	for _, p := range points {
		if p.whole() && (!ok || p.holds(now).After(newest.holds(now))) {
			newest, ok = p, true
		}
	}
	return newest, ok
}

// windowStart is the oldest moment that some whole recovery point holds.
func windowStart(points []point, now time.Time) (oldest time.Time) {
	for _, p := range points {
		if at := p.holds(now); p.whole() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	return oldest
}

const (
	// compared is to how many predecessors a size is compared, and fewest is how
	// many there must be for that to mean anything.
	compared, fewest = 10, 3
)

// sizeRatio compares a recovery point with the median of those before it.
func sizeRatio(newest point, points []point) (float64, bool) {
	var before []int64
	for _, p := range points { // newest first
		if p.whole() && p.continuous == newest.continuous && p.size > 0 && p.created.Before(newest.created) && len(before) < compared {
			before = append(before, p.size)
		}
	}
	if len(before) < fewest {
		return 0, false
	}
	slices.Sort(before)
	median := float64(before[(len(before)-1)/2]+before[len(before)/2]) / 2
	return float64(newest.size) / median, true
}
