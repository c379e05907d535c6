#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/store/claims.h"
#include "common/store/compiled_kind.h"
#include "common/store/store.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::store {

// A resource as it lies in Redis: "Y1", four hex digits of index version, 16 of etag, the message.
// The number behind the Y is the schema version; a reader accepts its own and the one before.
inline constexpr size_t kHeaderSize = 22;
inline constexpr std::string_view kSchemaVersion = "Y1";

struct Stored {
  std::string etag;
  int index_version = 0;
  std::string message;  // serialised
};

std::string EncodeStored(const Stored& stored);
// DATA_LOSS where the bytes are none of ours.
absl::StatusOr<Stored> DecodeStored(std::string_view bytes);

// The same message always gives the same bytes.
std::string Serialize(const google::protobuf::Message& message);

std::string NewEtag();

enum class WriteKind { kCreate, kUpdate, kDelete };

// Everything that one write changes, worked out by the writer from the resource that it read.
struct Write {
  using IndexEntry = std::pair<std::string, std::string>;  // key, member

  WriteKind kind = WriteKind::kUpdate;
  std::string expected_etag;  // that of the resource from which old_entries were worked out
  Stored next;                // not for deletes
  std::vector<IndexEntry> old_entries;
  std::vector<IndexEntry> new_entries;
  // The resource was indexed under this index version: what is in both is in Redis already.
  bool old_entries_stand = false;
  // New claims of the resource: nothing is written where another has one.
  std::vector<ClaimGuard> guards;
  std::string record;  // serialised audit record without its sequence; empty: silent
};

// How a write ended.
struct WriteResult {
  enum class Outcome {
    kDone,
    kReplayed,     // a repeat: `value` is the resource as the first time left it
    kReused,       // the request id belongs to another body
    kExists,       // `value` is the etag
    kMissing,      //
    kEtagDiffers,  // `value` is the current etag
    kClaimed,      // `value` tells the guard and who has the claim, see ClaimedBy
    kIndexBehind   // claims cannot be judged before the tenant is reindexed
  };
  Outcome outcome;
  std::string value;
};

// Who asked, for repeats; empty where there is no request id.
struct RequestIdentity {
  std::string key;     // Redis key of the request
  std::string field;   // of this write within the request
  std::string digest;  // of the request's body
};
RequestIdentity IdentityOf(const WriteContext& context, const CompiledKind& kind,
                           const Location& location, WriteKind write);

// What is remembered as the answer of a delete that found nothing.
inline constexpr std::string_view kMissingAnswer = "missing";

// Remembers the answer of a request that changed nothing: an encoded resource, or kMissingAnswer.
// kDone, kReused or kReplayed.
absl::StatusOr<WriteResult> RunRemember(redis::Pool& state, const RequestIdentity& request,
                                        std::string_view answer);

absl::StatusOr<WriteResult> RunWrite(redis::Pool& state, const CompiledKind& kind,
                                     const Location& location, const RequestIdentity& request,
                                     const Write& write);

}  // namespace yagura::store
