#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/stream/worker.h"
#include "common/testing/process.h"
#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;

// What handlers did, by shard, in order. Thread-safe.
class Record {
 public:
  void Add(int shard, const std::vector<Entry>& entries) {
    const std::lock_guard lock(mutex_);
    for (const Entry& entry : entries) keys_[shard].push_back(entry.key);
  }
  std::vector<std::string> Of(int shard) const {
    const std::lock_guard lock(mutex_);
    const auto found = keys_.find(shard);
    return found == keys_.end() ? std::vector<std::string>() : found->second;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    size_t sum = 0;
    for (const auto& [shard, keys] : keys_) sum += keys.size();
    return sum;
  }

 private:
  mutable std::mutex mutex_;
  std::map<int, std::vector<std::string>> keys_;
};

class WorkerTest : public StreamTest {
 protected:
  Worker::Options Options() const {
    return {.reader = "archive", .lease = std::chrono::seconds(5), .max_entries = 8};
  }
  std::unique_ptr<Worker> Make(Worker::Options options, Worker::Handler handler) {
    return std::make_unique<Worker>(
        flow_, topic_, std::move(options), std::move(handler),
        [this](const Worker::Context& context, const Entry& entry, const absl::Status&) {
          dead_.Add(context.shard, {entry});
        },
        Logger::Null());
  }
  Worker::Handler Recorder() {
    return [this](const Worker::Context& context, const std::vector<Entry>& entries) {
      record_.Add(context.shard, entries);
      return absl::OkStatus();
    };
  }
  bool AllCommitted() {
    return Eventually([this] { return Lag("archive") == 0; });
  }
  std::vector<std::string> Numbered(const std::string& prefix, int from, int to) {
    std::vector<std::string> keys;
    for (int i = from; i < to; ++i) keys.push_back(fmt::format("{}{}", prefix, i));
    return keys;
  }
  // The shards that each of the workers holds now.
  std::map<std::string, int> Holders() {
    std::map<std::string, int> count;
    for (int shard = 0; shard < topic_.shards; ++shard) {
      const auto holder =
          flow_->Command({"HGET", LeaseKey(topic_.name, shard, "archive"), "holder"});
      EXPECT_THAT(holder, IsOk());
      const std::string name = holder->text.substr(0, holder->text.find('#'));
      if (!name.empty()) ++count[name];
    }
    return count;
  }

  Record record_;
  Record dead_;
};

TEST_F(WorkerTest, HandlesEveryShardInOrderOnManyThreads) {
  for (int shard = 0; shard < 4; ++shard) AppendMany(50, shard, fmt::format("s{}-", shard));
  Worker::Options options = Options();
  options.threads = 3;
  auto worker = Make(options, Recorder());
  worker->Start();
  ASSERT_TRUE(AllCommitted());
  AppendMany(20, 2, "later-");
  ASSERT_TRUE(AllCommitted());
  worker->Stop();
  for (const int shard : {0, 1, 3}) {
    EXPECT_EQ(record_.Of(shard), Numbered(fmt::format("s{}-", shard), 0, 50));
  }
  EXPECT_EQ(record_.size(), 220U);
}

TEST_F(WorkerTest, OnePoisonedEntryIsPutAsideAndTheShardGoesOn) {
  AppendMany(20);
  std::atomic<int> calls = 0;
  auto options = Options();
  options.max_attempts = 2;
  auto worker = Make(options, [&](const Worker::Context& context, const std::vector<Entry>& batch) {
    ++calls;
    for (const Entry& entry : batch) {
      if (entry.key == "k5") return absl::InternalError("cannot read k5");
      if (entry.key == "k17") throw std::runtime_error("cannot read k17");
    }
    record_.Add(context.shard, batch);
    return absl::OkStatus();
  });
  worker->Start();
  ASSERT_TRUE(AllCommitted());
  worker->Stop();
  EXPECT_THAT(dead_.Of(0), ElementsAre("k5", "k17"));
  auto expected = Numbered("k", 0, 20);
  std::erase(expected, "k5");
  std::erase(expected, "k17");
  EXPECT_EQ(record_.Of(0), expected);
  const auto dead = flow_->Command({"XLEN", DeadLetterKey("events", 0)});
  ASSERT_THAT(dead, IsOk());
  EXPECT_EQ(dead->integer, 2);
}

// What is put aside of an entry, as "key: error".
std::vector<std::string> DeadLettersOf(redis::Pool& flow, int shard) {
  std::vector<std::string> letters;
  const auto reply = flow.Command({"XRANGE", DeadLetterKey("events", shard), "-", "+"});
  EXPECT_THAT(reply, IsOk());
  for (const redis::Reply& letter : reply->items) {
    std::map<std::string, std::string> fields;
    const auto& texts = letter.items[1].items;
    for (size_t i = 0; i + 1 < texts.size(); i += 2) fields[texts[i].text] = texts[i + 1].text;
    EXPECT_EQ(fields["reader"], "archive");
    EXPECT_FALSE(fields["p"].empty());
    letters.push_back(fmt::format("{}: {}", fields["k"], fields["error"]));
  }
  return letters;
}

TEST_F(WorkerTest, OfAnEntryThatCanBeSplitOnlyThePiecesAtFaultArePutAside) {
  AppendMany(6);
  std::atomic<int> splits = 0;
  auto options = Options();
  options.max_attempts = 2;
  options.split = [&](const Worker::Context& context,
                      const Entry& entry) -> absl::StatusOr<std::vector<DeadPiece>> {
    if (++splits == 1) return absl::UnavailableError("not now");
    record_.Add(context.shard, {entry});
    if (entry.key == "k4") return std::vector<DeadPiece>{};  // all of it went well in pieces
    return std::vector<DeadPiece>{{entry.key + "-7", "seven", absl::InternalError("seven is bad")},
                                  {entry.key + "-9", "nine", absl::InternalError("nine is bad")}};
  };
  auto worker = Make(options, [&](const Worker::Context& context, const std::vector<Entry>& batch) {
    for (const Entry& entry : batch) {
      if (entry.key == "k2" || entry.key == "k4") return absl::InternalError("whole is bad");
    }
    record_.Add(context.shard, batch);
    return absl::OkStatus();
  });
  worker->Start();
  ASSERT_TRUE(AllCommitted());
  worker->Stop();
  EXPECT_EQ(record_.Of(0), Numbered("k", 0, 6));
  EXPECT_EQ(splits, 3);
  EXPECT_THAT(dead_.Of(0), ElementsAre("k2-7", "k2-9"));
  EXPECT_THAT(DeadLettersOf(*flow_, 0),
              ElementsAre("k2-7: INTERNAL: seven is bad", "k2-9: INTERNAL: nine is bad"));
}

TEST_F(WorkerTest, AnEntryThatCannotBeSplitIsPutAsideWhole) {
  AppendMany(3);
  auto options = Options();
  options.max_attempts = 1;
  options.split = [](const Worker::Context&,
                     const Entry& entry) -> absl::StatusOr<std::vector<DeadPiece>> {
    if (entry.key == "k0") throw std::runtime_error("cannot be read");
    return absl::InvalidArgumentError("is no batch");
  };
  auto worker = Make(options, [&](const Worker::Context&, const std::vector<Entry>& batch) {
    return batch.back().key == "k2" && batch.size() == 1 ? absl::OkStatus()
                                                         : absl::InternalError("bad");
  });
  worker->Start();
  ASSERT_TRUE(AllCommitted());
  worker->Stop();
  EXPECT_THAT(DeadLettersOf(*flow_, 0),
              ElementsAre("k0: INTERNAL: cannot be read", "k1: INVALID_ARGUMENT: is no batch"));
}

TEST_F(WorkerTest, WhatIsUnavailableOrFullIsTriedAgainForAsLongAsItTakes) {
  AppendMany(3);
  std::atomic<int> calls = 0;
  auto options = Options();
  options.max_attempts = 1;
  auto worker = Make(options, [&](const Worker::Context& context, const std::vector<Entry>& batch) {
    ++calls;
    if (calls < 4) return absl::UnavailableError("the store is down");
    if (calls < 7) return absl::ResourceExhaustedError("the flow Redis is full");
    record_.Add(context.shard, batch);
    return absl::OkStatus();
  });
  worker->Start();
  ASSERT_TRUE(AllCommitted());
  worker->Stop();
  EXPECT_EQ(record_.Of(0), Numbered("k", 0, 3));
  EXPECT_EQ(dead_.size(), 0U);
}

TEST_F(WorkerTest, AHandlerMayTakeLongerThanTheLease) {
  AppendMany(3);
  Worker::Options options = Options();
  options.lease = milliseconds(60);
  std::atomic<bool> go_on = false;
  auto slow = Make(options, [&](const Worker::Context& context, const std::vector<Entry>& batch) {
    EXPECT_TRUE(Eventually([&] { return go_on.load(); }));
    record_.Add(context.shard, batch);
    return absl::OkStatus();
  });
  slow->Start();
  ASSERT_TRUE(Eventually([&] { return Holders().size() == 1; }));
  const auto until = [this] {
    const auto reply = flow_->Command({"HGET", LeaseKey(topic_.name, 0, "archive"), "until"});
    return reply.ok() && !reply->text.empty() ? std::stoll(reply->text) : 0;
  };
  const int64_t start = until();
  ASSERT_TRUE(Eventually([&] { return until() > start + 300; }));  // five leases long
  EXPECT_THAT(Acquire("thief"), testing::StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
  go_on = true;
  ASSERT_TRUE(AllCommitted());
  slow->Stop();
  EXPECT_EQ(record_.size(), 3U);
}

TEST_F(WorkerTest, StopLetsTheHandlerFinishAndCommits) {
  AppendMany(3);
  std::atomic<bool> entered = false;
  std::atomic<bool> stopping = false;
  std::atomic<bool> stopped = false;
  std::atomic<bool> finished = false;
  auto worker = Make(Options(), [&](const Worker::Context&, const std::vector<Entry>&) {
    entered = true;
    EXPECT_TRUE(Eventually([&] { return stopping.load(); }));
    EXPECT_FALSE(stopped);
    finished = true;
    return absl::OkStatus();
  });
  worker->Start();
  ASSERT_TRUE(Eventually([&] { return entered.load(); }));
  stopping = true;
  worker->Stop();
  stopped = true;
  EXPECT_TRUE(finished);
  EXPECT_EQ(Lag("archive"), 0U);
  EXPECT_TRUE(Holders().empty());  // another may go on at once
}

TEST_F(WorkerTest, WorkersShareTheShardsAndTakeOverFromOneThatIsGone) {
  Worker::Options options = Options();
  options.lease = milliseconds(400);
  options.holder = "first";
  auto first = Make(options, Recorder());
  first->Start();
  ASSERT_TRUE(Eventually([&] { return Holders()["first"] == 4; }));
  options.holder = "second";
  auto second = Make(options, Recorder());
  second->Start();
  EXPECT_TRUE(Eventually([&] {
    auto holders = Holders();
    return holders["first"] == 2 && holders["second"] == 2;
  }));
  for (int shard = 0; shard < 4; ++shard) AppendMany(10, shard, fmt::format("s{}-", shard));
  ASSERT_TRUE(AllCommitted());
  first->Stop();
  EXPECT_TRUE(Eventually([&] { return Holders()["second"] == 4; }));
  second->Stop();
  for (int shard = 0; shard < 4; ++shard) {
    EXPECT_EQ(record_.Of(shard), Numbered(fmt::format("s{}-", shard), 0, 10));
  }
}

TEST_F(WorkerTest, WhoLosesItsLeaseGivesUpTheBatch) {
  AppendMany(4);
  std::atomic<int> tries = 0;
  const std::filesystem::path folder = testing::MakeTemporaryFolder();
  auto options = Options();
  options.lease = milliseconds(300);
  Worker worker(
      flow_, topic_, options,
      [&](const Worker::Context&, const std::vector<Entry>&) {
        ++tries;
        return absl::UnavailableError("not yet");
      },
      nullptr, Logger::ToFile(folder / "log"));
  worker.Start();
  ASSERT_TRUE(Eventually([&] { return tries > 0; }));
  ASSERT_TRUE(Eventually([&] {
    LetLeaseRunOut(*flow_, topic_, 0, "archive");
    return Acquire("thief").ok();
  }));
  EXPECT_TRUE(Eventually([&] {
    std::ifstream log(folder / "log");
    const std::string text{std::istreambuf_iterator<char>(log), {}};
    return text.find("leaves a shard") != std::string::npos;
  }));
  worker.Stop();
  EXPECT_EQ(Lag("archive"), 4U);
  std::filesystem::remove_all(folder);
}

TEST_F(WorkerTest, AServerKilledAndRestartedInTheMiddleLosesNothing) {
  std::atomic<bool> stop = false;
  std::atomic<int> appended = 0;
  std::thread source([&] {
    for (int i = 0; !stop; ++i) {
      const std::string key = fmt::format("k{}", i);
      while (!producer_->Append(1, key, "x").ok()) std::this_thread::sleep_for(milliseconds(2));
      appended = i + 1;
    }
  });
  std::map<std::string, int> seen;
  std::vector<std::string> order;
  auto worker = Make(Options(), [&](const Worker::Context&, const std::vector<Entry>& batch) {
    for (const Entry& entry : batch) {
      if (seen[entry.key]++ == 0) order.push_back(entry.key);
    }
    return absl::OkStatus();
  });
  worker->Start();
  Trimmer trimmer(flow_, {{"events", 4, {"archive"}}}, milliseconds(5), Logger::Null());
  trimmer.Start();
  for (int round = 0; round < 5; ++round) {
    const int before = appended;
    ASSERT_TRUE(Eventually([&] { return appended > before + 50; }));
    server_->KillHard();
    server_->Restart();
  }
  stop = true;
  source.join();
  ASSERT_TRUE(AllCommitted());
  worker->Stop();
  trimmer.Stop();
  EXPECT_EQ(order, Numbered("k", 0, appended));
}

}  // namespace
}  // namespace yagura::stream
