#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/ingestion/relay/relay.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {

// Makes the folder a relay's and takes it: as long as the lock is open, a relay runs there. A
// folder that is new, empty or a relay's already (it has the file yagura-relay); any other stays
// untouched. FAILED_PRECONDITION (DATA_DIR_UNUSABLE, RUNS_ALREADY), UNAVAILABLE (DATA_DIR).
absl::StatusOr<Socket> TakeRelayFolder(const std::filesystem::path& data_dir);

// `text` is a JSON object that begins with "time". On a full disk in the place of the one before,
// which has room already. UNAVAILABLE.
absl::Status WriteRelayStatus(const std::filesystem::path& data_dir, const std::string& text);

// What was written last, with what is known now: whether the relay runs (by its lock) and how old
// the rest is. NOT_FOUND; DATA_LOSS (STATUS_DAMAGED); UNAVAILABLE.
absl::StatusOr<Relay::Report> ReadRelayStatus(const std::filesystem::path& data_dir, TimePoint now);

}  // namespace yagura::ingestion
