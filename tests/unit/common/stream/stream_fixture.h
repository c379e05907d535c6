#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/stream/leased_cursor.h"
#include "common/stream/producer.h"
#include "common/stream/scripts.h"
#include "common/stream/topic.h"
#include "common/stream/worker.h"
#include "common/testing/eventually.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::stream {

using std::chrono::milliseconds;
using testing::Eventually;

// What would happen if so much time passed that the lease ran out.
inline void LetLeaseRunOut(redis::Pool& pool, const Topic& topic, int shard,
                           std::string_view reader) {
  const auto done = pool.Command({"HSET", LeaseKey(topic.name, shard, reader), "until", "1"});
  ASSERT_THAT(done, testing::IsOk());
}

inline std::vector<std::string> Keys(const std::vector<Entry>& entries) {
  std::vector<std::string> keys;
  for (const Entry& entry : entries) keys.push_back(entry.key);
  return keys;
}

// One server for all tests of a suite, emptied before each.
class StreamTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = std::make_unique<testing::RedisServer>(); }
  static void TearDownTestSuite() { server_.reset(); }
  void SetUp() override {
    flow_ = server_->NewPool();
    ASSERT_THAT(flow_->Command({"FLUSHALL"}), testing::IsOk());
  }

  // Keys "<prefix>0", "<prefix>1", ...
  std::vector<EntryId> AppendMany(int count, int shard = 0, const std::string& prefix = "k") {
    std::vector<EntryId> ids;
    for (int i = 0; i < count; ++i) {
      const std::string key = fmt::format("{}{}", prefix, i);
      const auto id = producer_->Append(shard, key, "payload of " + key);
      EXPECT_THAT(id, testing::IsOk());
      if (id.ok()) ids.push_back(*id);
    }
    return ids;
  }

  absl::StatusOr<LeasedCursor> Acquire(const std::string& holder, int shard = 0,
                                       const std::string& reader = "archive",
                                       milliseconds lease = std::chrono::seconds(60)) {
    return LeasedCursor::Acquire(flow_, topic_, shard, {reader, holder, lease});
  }

  uint64_t Lag(const std::string& reader) {
    const Worker worker(flow_, topic_, {.reader = reader}, nullptr, nullptr, Logger::Null());
    const auto lag = worker.Lag();
    EXPECT_THAT(lag, testing::IsOk());
    return lag.value_or(~0ULL);
  }

  int64_t Length(int shard = 0) {
    const auto length = flow_->Command({"XLEN", StreamKey(topic_.name, shard)});
    EXPECT_THAT(length, testing::IsOk());
    return length.ok() ? length->integer : -1;
  }

  static std::unique_ptr<testing::RedisServer> server_;  // NOLINT: GoogleTest's suite fixture
  const Topic topic_{"events", 4, {"archive", "detection"}};
  std::shared_ptr<redis::Pool> flow_ = server_->NewPool();
  std::unique_ptr<Producer> producer_ =
      std::make_unique<Producer>(flow_, topic_, Producer::Options{});
};

inline std::unique_ptr<testing::RedisServer> StreamTest::server_;

}  // namespace yagura::stream
