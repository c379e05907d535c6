#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/testing/eventually.h"
#include "common/testing/fake_clock.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "common/timer/claims.h"
#include "common/timer/timer.h"

namespace yagura::timer {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::Eventually;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class TimerTest : public ::testing::Test {
 protected:
  std::unique_ptr<TimerWorker> MakeWorker(TimerWorker::Handler handler, int threads = 1) {
    TimerWorker::Options options;
    options.poll = milliseconds(2);
    options.lease = seconds(60);
    options.threads = threads;
    return std::make_unique<TimerWorker>(state_, "test", options, clock_, std::move(handler),
                                         Logger::Null());
  }
  TimerWorker::Handler Recorder() {
    return [this](const Timer& timer) {
      const std::lock_guard lock(mutex_);
      done_.push_back(timer.id + "=" + timer.payload);
      return absl::OkStatus();
    };
  }
  std::vector<std::string> Done() const {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  // Waits until workers have looked for due timers five times more.
  bool LooksFiveTimes() const {
    const auto looks = [this] {
      const auto stats = state_->Command({"INFO", "commandstats"});
      const std::string_view name = "cmdstat_evalsha:calls=";
      const size_t at = stats.ok() ? stats->text.find(name) : std::string::npos;
      return at == std::string::npos ? 0 : std::stoll(stats->text.substr(at + name.size()));
    };
    const int64_t before = looks();
    return Eventually([&] { return looks() >= before + 5; });
  }
  bool IsEmptyQueue() const {
    const auto size = queue_.Size();
    return size.ok() && *size == 0;
  }

  testing::RedisServer server_;
  std::shared_ptr<redis::Pool> state_ = server_.NewPool(32);
  std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  const TimePoint start_ = clock_->Now();
  TimerQueue queue_{state_, "test"};
  mutable std::mutex mutex_;
  std::vector<std::string> done_;
};

TEST_F(TimerTest, WhatIsDueIsDoneInOrderAndNotBefore) {
  ASSERT_THAT(queue_.Schedule("c", start_ + seconds(30), "three"), IsOk());
  ASSERT_THAT(queue_.Schedule("a", start_ + seconds(10), "one"), IsOk());
  ASSERT_THAT(queue_.Schedule("b", start_ + seconds(20), std::string_view("t\0 wo", 5)), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto found, queue_.Find("b"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->due, start_ + seconds(20));

  auto worker = MakeWorker(Recorder());
  clock_->Advance(seconds(10) - std::chrono::nanoseconds(1));
  worker->Start();
  ASSERT_TRUE(LooksFiveTimes());
  EXPECT_THAT(Done(), IsEmpty());
  clock_->Advance(std::chrono::nanoseconds(1));
  ASSERT_TRUE(Eventually([this] { return Done().size() == 1; }));
  clock_->Advance(hours(1));
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue(); }));
  EXPECT_THAT(Done(), ElementsAre("a=one", "b=" + std::string("t\0 wo", 5), "c=three"));
  ASSERT_OK_AND_ASSIGN(const auto gone, queue_.Find("b"));
  EXPECT_FALSE(gone);
}

TEST_F(TimerTest, SchedulingAgainReplacesAndCancelRemoves) {
  ASSERT_THAT(queue_.Schedule("page", start_ + seconds(10), "first"), IsOk());
  ASSERT_THAT(queue_.Schedule("page", start_ + seconds(20), "second"), IsOk());
  ASSERT_THAT(queue_.Schedule("other", start_ + seconds(5), "cancelled"), IsOk());
  ASSERT_THAT(queue_.Cancel("other"), IsOk());
  ASSERT_THAT(queue_.Cancel("never was"), IsOk());
  auto worker = MakeWorker(Recorder());
  clock_->Advance(hours(1));
  worker->Start();
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue(); }));
  worker->Stop();
  EXPECT_THAT(Done(), ElementsAre("page=second"));
}

TEST_F(TimerTest, WhatIsThereAlreadyIsNotScheduledTwice) {
  const auto schedule = [this](std::string_view payload) {
    return queue_.ScheduleIfAbsent("page", start_ + seconds(10), payload).value_or(false);
  };
  EXPECT_TRUE(schedule("first"));
  EXPECT_FALSE(schedule("second"));
  // Nor while somebody is at work on it, who may finish it then.
  const Claims claims(state_, "test");
  const TimePoint now = start_ + seconds(10);
  ASSERT_OK_AND_ASSIGN(const auto claimed, claims.Claim(now, now + seconds(60), "somebody"));
  ASSERT_TRUE(claimed);
  EXPECT_EQ(claimed->timer.payload, "first");
  EXPECT_FALSE(schedule("third"));
  ASSERT_OK_AND_ASSIGN(const bool finished, claims.Finish(*claimed));
  EXPECT_TRUE(finished);
  EXPECT_TRUE(IsEmptyQueue());
  EXPECT_TRUE(schedule("fourth"));
  EXPECT_THAT(queue_.ScheduleIfAbsent("", start_, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TimerTest, LateWorkIsDoneAtOnceAfterTheServerAndTheWorkersWereDown) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(queue_.Schedule(fmt::format("t{:03}", i), start_ + seconds(i), "x"), IsOk());
  }
  server_.KillHard();
  EXPECT_THAT(queue_.Schedule("lost", start_, "x"), StatusIs(absl::StatusCode::kUnavailable));
  clock_->Advance(hours(10));
  auto worker = MakeWorker(Recorder());
  worker->Start();  // waits for Redis
  server_.Restart();
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue() && Done().size() >= 100; }));
  worker->Stop();
  EXPECT_EQ(Done().size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(Done()));
}

TEST_F(TimerTest, ManyWorkersTakeEachTimerOnce) {
  constexpr int kTimers = 500;
  for (int i = 0; i < kTimers; ++i) {
    ASSERT_THAT(queue_.Schedule(fmt::format("t{}", i), start_, "x"), IsOk());
  }
  std::vector<std::unique_ptr<TimerWorker>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(MakeWorker(Recorder(), 2));
    workers.back()->Start();
  }
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue(); }));
  for (auto& worker : workers) worker->Stop();
  std::map<std::string, int> times;
  for (const std::string& done : Done()) ++times[done];
  EXPECT_EQ(times.size(), static_cast<size_t>(kTimers));
  EXPECT_EQ(Done().size(), static_cast<size_t>(kTimers));
}

TEST_F(TimerTest, WhatADeadWorkerHeldIsDoneOnceItsLeaseHasRunOut) {
  ASSERT_THAT(queue_.Schedule("page", start_, "x"), IsOk());
  const Claims dead(state_, "test");
  ASSERT_OK_AND_ASSIGN(const auto claimed, dead.Claim(start_, start_ + seconds(8), "dead"));
  ASSERT_TRUE(claimed);
  auto worker = MakeWorker(Recorder());
  worker->Start();
  clock_->Advance(seconds(8) - milliseconds(1));
  ASSERT_TRUE(LooksFiveTimes());
  EXPECT_THAT(Done(), IsEmpty());
  clock_->Advance(milliseconds(1));
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue(); }));
  EXPECT_THAT(Done(), ElementsAre("page=x"));
  // It was only asleep: what it says now counts no more.
  ASSERT_THAT(queue_.Schedule("page", start_ + hours(1), "y"), IsOk());
  for (const auto& late : {dead.Finish(*claimed), dead.Fail(*claimed, start_),
                           dead.Renew(*claimed, start_ + hours(9))}) {
    ASSERT_THAT(late, IsOk());
    EXPECT_FALSE(*late);
  }
  ASSERT_OK_AND_ASSIGN(const auto kept, queue_.Find("page"));
  EXPECT_EQ(kept->payload, "y");
}

TEST_F(TimerTest, WhatAPredecessorOfTheSameNameHeldIsDoneAtOnce) {
  ASSERT_THAT(queue_.Schedule("ours", start_, "x"), IsOk());
  ASSERT_THAT(queue_.Schedule("theirs", start_, "x"), IsOk());
  const Claims claims(state_, "test");
  const TimePoint now = clock_->Now() + seconds(1);
  std::vector<Claims::Claimed> held;
  for (const char* token : {"suite/before-0", "suites/other-0"}) {
    ASSERT_OK_AND_ASSIGN(const auto claimed, claims.Claim(now, now + seconds(60), token));
    ASSERT_TRUE(claimed);
    held.push_back(*claimed);
  }
  clock_->Advance(seconds(1));
  TimerWorker::Options options;
  options.poll = milliseconds(2);
  options.lease = seconds(60);
  options.instance = "suite";
  TimerWorker worker(state_, "test", options, clock_, Recorder(), Logger::Null());
  worker.Start();
  ASSERT_TRUE(Eventually([this] { return Done().size() == 1; }));
  EXPECT_EQ(Done()[0], held[0].timer.id + "=x");
  ASSERT_TRUE(LooksFiveTimes());
  EXPECT_EQ(Done().size(), 1u) << "what others hold is theirs";
  // The predecessor, alive after all, changes nothing any more; the other does.
  ASSERT_OK_AND_ASSIGN(const bool renewed, claims.Renew(held[0], now + seconds(60)));
  EXPECT_FALSE(renewed);
  ASSERT_OK_AND_ASSIGN(const bool finished, claims.Finish(held[1]));
  EXPECT_TRUE(finished);
}

TEST_F(TimerTest, AFailedTimerComesAgainAfterAGrowingPause) {
  ASSERT_THAT(queue_.Schedule("mail", start_, "x"), IsOk());
  std::atomic<int> tries = 0;
  auto worker = MakeWorker([&tries](const Timer&) -> absl::Status {
    const int now = ++tries;
    if (now == 1) throw std::runtime_error("cannot");
    return now < 4 ? absl::UnavailableError("not yet") : absl::OkStatus();
  });
  worker->Start();
  const Claims claims(state_, "test");
  const auto next = [&]() -> int64_t {
    const auto score = state_->Command({"ZSCORE", "y:{timer.test}:timer:due", "mail"});
    const auto claim = state_->Command({"HEXISTS", "y:{timer.test}:timer:claim", "mail"});
    if (!score.ok() || score->is_nil() || !claim.ok() || claim->integer == 1) return -1;
    return std::stoll(score->text) -
           std::chrono::floor<milliseconds>(clock_->Now().time_since_epoch()).count();
  };
  for (const int64_t pause : {1000, 2000, 4000}) {
    ASSERT_TRUE(Eventually([&] { return next() == pause; })) << pause;
    clock_->Advance(milliseconds(pause));
  }
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue(); }));
  EXPECT_EQ(tries, 4);
}

TEST_F(TimerTest, ScheduledAgainByItsOwnHandlerItComesAgain) {
  ASSERT_THAT(queue_.Schedule("repeat", start_, "1"), IsOk());
  std::atomic<int> times = 0;
  auto worker = MakeWorker([&](const Timer& timer) {
    if (++times == 3) return absl::OkStatus();
    return queue_.Schedule(timer.id, timer.due + seconds(60), std::to_string(times + 1));
  });
  worker->Start();
  clock_->Advance(hours(1));
  ASSERT_TRUE(Eventually([&] { return IsEmptyQueue() && times == 3; }));
}

TEST_F(TimerTest, AHandlerMayTakeLongerThanTheLease) {
  ASSERT_THAT(queue_.Schedule("slow", start_, "x"), IsOk());
  TimerWorker::Options options;
  options.poll = milliseconds(1);
  options.lease = milliseconds(30);
  options.threads = 3;
  std::atomic<int> calls = 0;
  std::atomic<bool> go_on = false;
  TimerWorker worker(
      state_, "test", options, SystemClock(),
      [&](const Timer&) {
        ++calls;
        EXPECT_TRUE(Eventually([&] { return go_on.load(); }));
        return absl::OkStatus();
      },
      Logger::Null());
  worker.Start();
  const auto score = [this]() -> int64_t {
    const auto reply = state_->Command({"ZSCORE", "y:{timer.test}:timer:due", "slow"});
    return reply.ok() && !reply->is_nil() ? std::stoll(reply->text) : 0;
  };
  ASSERT_TRUE(Eventually([&] { return calls == 1; }));
  const int64_t first = score();
  ASSERT_TRUE(Eventually([&] { return score() > first + 150; }));
  EXPECT_EQ(calls, 1);
  go_on = true;
  ASSERT_TRUE(Eventually([this] { return IsEmptyQueue(); }));
  EXPECT_EQ(calls, 1);
}

TEST_F(TimerTest, RefusesAnIdOrPayloadThatIsNone) {
  EXPECT_THAT(queue_.Schedule("", start_, "x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(queue_.Cancel(std::string(513, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(queue_.Schedule("big", start_, std::string((1 << 20) + 1, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::timer
