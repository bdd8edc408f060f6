#!/bin/bash
# What the GitHub Action runs (action.yml): weir lint, then weir test. Both run before either fails, so
# that one push tells everything. Works in any other CI that sets these variables.
set -uo pipefail

program=${WEIR_PROGRAM:-weir} sarif=${WEIR_SARIF:-weir.sarif} output=${GITHUB_OUTPUT:-/dev/null}

# One a line, blanks at both ends away.
lines() { sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d' <<<"$1"; }
mapfile -t paths < <(lines "${WEIR_PATHS:-.}")
mapfile -t tests < <(lines "${WEIR_TESTS:-}")
namespace=()
[ -z "${WEIR_NAMESPACE:-}" ] || namespace=(--namespace "$WEIR_NAMESPACE")

# An image has a tag or a digest, or a registry; a program has a path or none of these.
weir() {
    case $program in
    /* | ./* | ../*) "$program" "$@" ;;
    *[:/@]*) docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" --workdir /work "$program" "$@" ;;
    *) command "$program" "$@" ;;
    esac
}

# For people in the log; for the code host in the file. What lint says to standard error is the same
# both times.
weir lint "${namespace[@]}" --fail-on "${WEIR_FAIL_ON:-error}" -- "${paths[@]}"
failed=$?
weir lint "${namespace[@]}" --fail-on never -o sarif -- "${paths[@]}" >"$sarif" 2>/dev/null
findings=$(grep -o '"weirFinding/v1"' "$sarif" | wc -l)
printf 'sarif=%s\nfindings=%s\n' "$sarif" "$findings" >>"$output"

if [ ${#tests[@]} -gt 0 ]; then
    junit=()
    [ -z "${WEIR_JUNIT:-}" ] || junit=(--junit "$WEIR_JUNIT")
    weir test "${namespace[@]}" "${junit[@]}" -- "${tests[@]}" || failed=1
fi
exit "$failed"
