#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "yagura/ingestion/v1/ingestion_service.pb.h"

namespace yagura::ingestion {

// How many lines a run of a relay had put into its spool up to a place.
struct RelayMark {
  std::string run;  // empty: not known
  uint64_t lines = 0;
};

// Before the batch, as its id says.
RelayMark MarkBefore(const v1::PushRequest& batch);
RelayMark MarkBehind(const v1::PushRequest& batch);
// As they count in a mark: also what the batch tells of.
uint64_t RelayLinesOf(const v1::PushRequest& batch);

// As it stands in a file: size (u32 little-endian), hash (u64, seeded), the batch.
std::string RelayRecordOf(const v1::PushRequest& batch, uint64_t seed);

// The records of one file of a relay's spool, while others may append to it. Thread-safe; knows no
// lock, as what is damaged takes long to read.
class RelayRecords {
 public:
  // UNAVAILABLE.
  static absl::StatusOr<std::shared_ptr<const RelayRecords>> Open(const std::filesystem::path& path,
                                                                  uint64_t seed);
  ~RelayRecords();
  RelayRecords(const RelayRecords&) = delete;
  RelayRecords& operator=(const RelayRecords&) = delete;

  struct Record {
    v1::PushRequest batch;
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  // The first sound one that begins at `offset` or later, within the first `size` bytes: what lies
  // between is torn by a crash, or damaged. Nothing where there is none. UNAVAILABLE.
  absl::StatusOr<std::optional<Record>> Next(uint64_t offset, uint64_t size) const;

  // The sound ones up to a place.
  struct Survey {
    uint64_t bytes = 0;
    uint64_t lines = 0;
    RelayMark end;  // behind the last
    TimePoint time{};
  };
  // `begin`: what holds where there is none.
  Survey SurveyUpTo(uint64_t end, Survey begin) const;

 private:
  RelayRecords(std::filesystem::path path, int fd, uint64_t seed)
      : path_(std::move(path)), fd_(fd), seed_(seed) {}

  const std::filesystem::path path_;
  const int fd_;
  const uint64_t seed_;
};

}  // namespace yagura::ingestion
