package statusapi

import (
	"context"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// Worker is whose status is served; *worker.Worker is one, and one of each of
// the interfaces below but LogLevel.
type Worker interface {
	Status() worker.Status
	Unsettled(ctx context.Context) ([]recovery.Unsettled, error)
	LastTurn() time.Time
}

// Control changes what the worker does. Each method returns once its effect is
// durable, or with an error after which it may or may not be.
type Control interface {
	Pause(ctx context.Context, paused bool) error
	// Retry makes blobs due; nil means all that wait.
	Retry(ctx context.Context, ids []recovery.BlobID) (worker.RetryResult, error)
	// PutBack queues blobs that are not stored as they should be.
	PutBack(ctx context.Context, ids []recovery.BlobID) (worker.PutBackResult, error)
	// Sync asks for one blob and waits for its outcome.
	Sync(ctx context.Context, id recovery.BlobID) (recovery.Outcome, error)
}

// Inspector answers questions about parts of the work. Shards and History never
// block.
type Inspector interface {
	Explain(ctx context.Context, id recovery.BlobID) (worker.Explanation, error)
	Shards() []worker.ShardProgress
	History() []worker.RunEvent
}

// Limiter changes the limits of the work, and keeps them over a restart. Errors
// that wrap worker.ErrLimits changed nothing.
type Limiter interface {
	Limits() worker.Limits
	SetLimits(ctx context.Context, l worker.Limits) error
	ResetLimits(ctx context.Context) error
}

// LogLevel is how much is logged. It is not kept over a restart.
type LogLevel interface {
	// Level returns debug, info, warn or error; SetLevel gets one of these.
	Level() string
	SetLevel(level string)
}
