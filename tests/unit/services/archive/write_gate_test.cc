// A pause of all that is written to the event store: nothing is half done in it, and all goes on
// after it.
#include "services/archive/workers/write_gate.h"

#include <atomic>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/redis/pool.h"
#include "common/testing/eventually.h"
#include "common/testing/status_matchers.h"
#include "services/archive/storage/plan_store.h"

namespace yagura::archive {
namespace {

using std::chrono::milliseconds;
using testing::IsOk;
using testing::StatusIs;

constexpr milliseconds kLong{60'000};

PauseFollower::Pace Quick() {
  return {.look = milliseconds(10), .tell = milliseconds(50), .longest = kLong};
}

// Whether nobody is awaited, and so many rest.
bool AtRest(const PauseStore& store, const std::string& id, size_t resting = 1) {
  const auto writers = store.Look(id);
  return writers.ok() && writers->awaited == 0 && writers->resting.size() == resting;
}

TEST(WriteGate, ClosesOnceAllWhoAreInAreOut) {
  WriteGate gate;
  auto pass = gate.Enter(milliseconds(0));
  ASSERT_TRUE(pass);
  EXPECT_FALSE(gate.Close(milliseconds(1)));
  EXPECT_FALSE(gate.Enter(milliseconds(1)));
  pass.reset();
  EXPECT_TRUE(gate.Close(milliseconds(0)));
  gate.Open();
  EXPECT_TRUE(gate.Enter(milliseconds(0)));
  EXPECT_TRUE(WriteGate::Enter(nullptr, milliseconds(0)));
}

TEST(WriteGate, APauseIsOneBackupsAndEndsByItself) {
  const testing::RedisServer redis;
  const PauseStore store(redis.NewPool());
  ASSERT_THAT(store.Ask("one", milliseconds(200)), IsOk());
  EXPECT_THAT(store.Ask("two", kLong),
              StatusIs(absl::StatusCode::kFailedPrecondition, "PAUSE_HELD"));
  ASSERT_THAT(store.End("two"), IsOk());  // not its own
  EXPECT_TRUE(AtRest(store, "one", 0));   // nobody writes
  EXPECT_TRUE(testing::Eventually([&] { return store.Ask("two", kLong).ok(); }));
  EXPECT_THAT(store.Look("one").status(), StatusIs(absl::StatusCode::kAborted, "PAUSE_OVER"));
  ASSERT_THAT(store.End("two"), IsOk());
  EXPECT_THAT(store.Ask("three", kLong), IsOk());
}

TEST(WriteGate, AProcessRestsWhileItIsAskedToAndGoesOnThen) {
  const testing::RedisServer redis;
  const PauseStore store(redis.NewPool());
  WriteGate gate;
  PauseFollower follower(redis.NewPool(), "suite/archive", gate, Quick(), Logger::Null());
  follower.Start();
  auto pass = gate.Enter(milliseconds(0));
  ASSERT_TRUE(pass);
  ASSERT_THAT(store.Ask("one", kLong), IsOk());
  // What is under way is waited for.
  EXPECT_TRUE(testing::Eventually([&] { return !gate.Enter(milliseconds(0)); }));
  EXPECT_FALSE(AtRest(store, "one"));
  pass.reset();
  EXPECT_TRUE(testing::Eventually([&] { return AtRest(store, "one"); }));
  ASSERT_THAT(store.End("one"), IsOk());
  EXPECT_TRUE(testing::Eventually([&] { return gate.Enter(milliseconds(0)).has_value(); }));
}

TEST(WriteGate, AProcessThatStartsInAPauseWritesNothingBeforeItsEnd) {
  const testing::RedisServer redis;
  const PauseStore store(redis.NewPool());
  ASSERT_THAT(store.Ask("one", kLong), IsOk());
  WriteGate gate;
  PauseFollower follower(redis.NewPool(), "late/archive", gate, Quick(), Logger::Null());
  follower.Start();
  EXPECT_FALSE(gate.Enter(milliseconds(0)));
  EXPECT_TRUE(AtRest(store, "one"));
}

// What it told of an earlier pause counts for none of the later ones, however soon they come.
TEST(WriteGate, PausesRightAfterOneAnotherAreKeptEach) {
  const testing::RedisServer redis;
  const PauseStore store(redis.NewPool());
  WriteGate gate;
  PauseFollower follower(redis.NewPool(), "suite/archive", gate, Quick(), Logger::Null());
  follower.Start();
  std::atomic<int> inside{0};
  const std::jthread working([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const auto pass = gate.Enter(milliseconds(1));
      if (!pass) continue;
      ++inside;
      std::this_thread::yield();
      --inside;
    }
  });
  for (int i = 0; i < 30; ++i) {
    const std::string id = fmt::format("pause-{}", i);
    ASSERT_THAT(store.Ask(id, kLong), IsOk());
    ASSERT_TRUE(testing::Eventually([&] { return AtRest(store, id); }));
    EXPECT_EQ(inside, 0);
    EXPECT_FALSE(gate.Enter(milliseconds(0)));
    ASSERT_THAT(store.End(id), IsOk());
    // Seen by the process in every other one.
    if (i % 2 == 0) continue;
    EXPECT_TRUE(testing::Eventually([&] { return gate.Enter(milliseconds(0)).has_value(); }));
  }
}

TEST(WriteGate, AProcessThatStopsIsNotAwaited) {
  const testing::RedisServer redis;
  const PauseStore store(redis.NewPool());
  WriteGate gate;
  PauseFollower follower(redis.NewPool(), "suite/archive", gate, Quick(), Logger::Null());
  follower.Start();
  ASSERT_THAT(store.Ask("one", kLong), IsOk());
  EXPECT_TRUE(testing::Eventually([&] { return AtRest(store, "one"); }));
  follower.Stop();
  EXPECT_TRUE(AtRest(store, "one", 0));
}

// Whatever of it still runs then writes nothing more, and who asked for the pause sees who has
// left.
TEST(WriteGate, AProcessThatStopsInAPauseOpensNoGate) {
  const testing::RedisServer redis;
  const PauseStore store(redis.NewPool());
  WriteGate gate;
  WriteGate other_gate;
  PauseFollower follower(redis.NewPool(), "one/archive", gate, Quick(), Logger::Null());
  PauseFollower other(redis.NewPool(), "two/archive", other_gate, Quick(), Logger::Null());
  follower.Start();
  other.Start();
  ASSERT_THAT(store.Ask("one", kLong), IsOk());
  EXPECT_TRUE(testing::Eventually([&] { return AtRest(store, "one", 2); }));
  follower.Stop();
  EXPECT_FALSE(gate.Enter(milliseconds(0)));
  ASSERT_OK_AND_ASSIGN(const auto writers, store.Look("one"));
  EXPECT_THAT(writers.resting, ::testing::ElementsAre("two/archive"));
  EXPECT_EQ(writers.awaited, 0);
}

// Plans and cursors agree in every pause, whatever comes in meanwhile, and no event is lost or
// doubled by it.
TEST(WriteGate, InAPauseNoRangeIsHalfStored) {
  Archive archive;
  WriterOptions options;
  options.rows_per_insert = 500;
  options.max_delay = milliseconds(20);
  options.retry = milliseconds(20);
  WriteGate gate;
  EventWriter writer({archive.flow, archive.topic, archive.client, archive.table, archive.retention,
                      *archive.spool, Logger::Null(), nullptr, &gate},
                     options, 2);
  PauseFollower follower(archive.flow, "suite/archive", gate, Quick(), Logger::Null());
  follower.Start();
  writer.Start();
  constexpr int kEvents = 50;
  std::atomic<int> produced{0};  // batches
  std::jthread producing([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const int batch = produced;
      archive.Produce("acme", fmt::format("b{}", batch), batch * kEvents, kEvents);
      ++produced;
    }
  });
  const PauseStore pauses(archive.flow);
  const PlanStore plans(archive.flow, archive.topic, "archive");
  for (int i = 0; i < 8; ++i) {
    const std::string id = fmt::format("pause-{}", i);
    ASSERT_THAT(pauses.Ask(id, kLong), IsOk());
    ASSERT_TRUE(testing::Eventually([&] { return AtRest(pauses, id); }));
    const uint64_t stored = archive.CountEvents();
    for (int shard = 0; shard < archive.topic.shards; ++shard) {
      ASSERT_OK_AND_ASSIGN(const auto plan, plans.Load(shard));
      if (!plan) continue;
      ASSERT_OK_AND_ASSIGN(
          const redis::Reply groups,
          archive.flow->Command({"XINFO", "GROUPS", stream::StreamKey("events", shard)}));
      ASSERT_EQ(groups.items.size(), 1u);
      EXPECT_EQ(groups.items[0].items[7].text, plan->last_entry());
    }
    // However much comes in.
    const int before = produced;
    ASSERT_TRUE(testing::Eventually([&] { return produced >= before + 20; }));
    EXPECT_EQ(archive.CountEvents(), stored);
    ASSERT_THAT(pauses.End(id), IsOk());
  }
  producing.request_stop();
  producing.join();
  const auto events = static_cast<uint64_t>(produced) * kEvents;
  EXPECT_TRUE(archive.AwaitEvents(events));
  writer.Stop();
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"), events);
  EXPECT_EQ(archive.CountEvents(), events);
}

}  // namespace
}  // namespace yagura::archive
