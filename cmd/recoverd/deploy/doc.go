// Package deploy holds what is needed to run recoverd and to watch over it, and
// the tests that keep it right:
//
//   - OPERATIONS.md: every phase, exit code, alert and message, and what to do
//   - prometheus: alert rules, their tests, and an example of scraping
//   - grafana: a dashboard
//   - systemd: the unit of a service
//   - kubernetes: a sidecar
//   - package: the container image, the Debian package, and dist.sh, which makes
//     a release: `make dist`
//
// There is no code here that runs in recoverd.
package deploy
