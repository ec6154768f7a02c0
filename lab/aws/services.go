package aws

import (
	"errors"
	"net/http"
)

// newServices makes every service, by the name in the scope of a signature.
func (c *Cloud) newServices() map[string]service {
	c.sts, c.iam = newSTS(c.options.Now), newIAM()
	return map[string]service{
		"s3":                   newS3(c.options.Now),
		"rds":                  newRDS(c),
		"monitoring":           newCloudWatch(c),
		"sts":                  c.sts,
		"iam":                  c.iam,
		"servicequotas":        newQuotas(),
		"route53":              newRoute53(c),
		"elasticloadbalancing": newELB(c),
		"backup":               newBackup(c.options.Now, c.sts),
	}
}

func asError(err error) Error {
	var e Error
	if errors.As(err, &e) {
		return e
	}
	return Error{http.StatusInternalServerError, "InternalFailure", err.Error()}
}
