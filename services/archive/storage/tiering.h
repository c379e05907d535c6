#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/archive/storage/migrations.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

// Where events lie while they get older: on the first volume of a storage policy of the ClickHouse
// servers, and later on another one of it.
struct Tiering {
  std::string storage_policy;  // empty: the table's own is left alone
  std::string cold_volume = "cold";
  int cold_after_days = 7;
  // Nothing comes back from the cold volume while less than this share of the others is free, 0 to
  // 1: the store itself brings parts there where they get full.
  double free_share_to_return = 0.25;
  // Texts of a day are compressed harder once it is over (docs/adr/0015).
  bool recompress = true;
};

// What texts of a day that is over are compressed with.
inline constexpr std::string_view kOldTextCodec = "ZSTD(9)";

// INVALID_ARGUMENT for names that could not be a policy's or a volume's.
absl::Status ValidateTiering(const Tiering& tiering);

// Both of a table made anew.
EventsPlace PlaceOf(const Tiering& tiering);

// Makes the table of events lie so, where it does not yet; what is older than that moves in the
// background. What was stored before a day was to be compressed again stays as it is. A policy can
// follow another one only if it has all its disks, so says ClickHouse. FAILED_PRECONDITION
// (TIERING_REFUSED) where the servers know no such policy or volume.
absl::Status ApplyTiering(eventstore::Client& client, const Tiering& tiering, const Logger& logger);

// Brings the parts of one day (partition) that were made under other settings to the volume where
// they belong by now, the oldest first: to the cold one, or back. The day that was moved; empty
// where everything lies right. Called again and again, a day at a time: that is the pace.
absl::StatusOr<std::string> MoveOneDay(eventstore::Client& client, const Tiering& tiering,
                                       TimePoint now);

}  // namespace yagura::archive
