// Package regular opens files that must be regular ones, and waits for nobody.
//
// Opening a pipe waits for its other end, and opening a device may do something: a
// path that leads to one of these would hold up whoever opens it. So what a path
// leads to is looked at before it is opened, and what was opened is looked at again.
// Links are followed: the paths are those that an operator names, and what is below a
// store's root is opened by syncer/store/fs, which follows none.
package regular
