#pragma once

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "services/ingestion/workers/listener.h"
#include "yagura/ingestion/v1/ingestion_service.pb.h"

namespace yagura::ingestion {

// One stream of IngestionService.Push: each batch is read, appended to the event streams and only
// then acknowledged. Nothing is spooled: the sender keeps what was not acknowledged. While the flow
// Redis is full or no sources are known yet, the sender is made to wait (nothing more is read) for
// up to `patience` before the batch is refused. Keeps copies of `parts`' pointers.
absl::StatusOr<std::unique_ptr<rpc::StreamSession<v1::PushRequest>>> MakePushSession(
    const ListenerParts& parts, std::chrono::milliseconds patience, const rpc::Call& call,
    rpc::Outbox<v1::PushResponse> outbox);

}  // namespace yagura::ingestion
