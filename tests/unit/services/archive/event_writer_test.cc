// The writer with a real Redis and a real event store.
#include "services/archive/workers/event_writer.h"

#include <map>
#include <random>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/redis/pool.h"
#include "common/stream/scripts.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "services/archive/storage/dead_letters.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/workers/range_storer.h"

namespace yagura::archive {
namespace {

using testing::IsOk;
using testing::StatusIs;

WriterOptions Quick() {
  WriterOptions options;
  options.rows_per_insert = 2'000;
  options.max_delay = std::chrono::milliseconds(100);
  options.retry = std::chrono::milliseconds(50);
  options.lease = std::chrono::milliseconds(1'000);
  return options;
}

TEST(EventWriter, StoresEveryEventOnce) {
  Archive archive;
  for (int batch = 0; batch < 40; ++batch) {
    archive.Produce("acme", fmt::format("b{}", batch), batch * 100, 100);
  }
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  ASSERT_TRUE(archive.AwaitEvents(4000));
  writer->Stop();
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"), 4000u);
  EXPECT_EQ(archive.CountEvents(), 4000u);
  EXPECT_EQ(archive.Lag(), 0u);
  EXPECT_THAT(writer->Health(), IsOk());
}

TEST(EventWriter, ARepeatedRangeIsStoredOnceAndIsTheSame) {
  Archive archive;
  const RangeInserter inserter(archive.client, archive.table, archive.retention);
  RangeData range;
  range.plan.set_token("events/0/1-0/2-0");
  range.entries.push_back({{1, 0}, "a", MakeBatch("acme", "a", 0, 500)});
  range.entries.push_back({{2, 0}, "b", MakeBatch("beta", "b", 500, 500)});
  for (int i = 0; i < 3; ++i) ASSERT_THAT(inserter.Insert(range), IsOk());
  EXPECT_EQ(archive.CountEvents(), 1000u);
  EXPECT_EQ(archive.FlowsAddUpTo(), "as events");
  EXPECT_EQ(archive.CountEvents("countIf(tenant = 'beta')"), 500u);
}

TEST(EventWriter, ExpiryFollowsTheTenantsRetention) {
  Archive archive;
  archive.retention.Set({{"acme", 30}});
  const RangeInserter inserter(archive.client, archive.table, archive.retention);
  RangeData range;
  range.plan.set_token("t");
  range.entries.push_back({{1, 0}, "a", MakeBatch("acme", "a", 0, 10)});
  range.entries.push_back({{2, 0}, "b", MakeBatch("other", "b", 0, 10)});
  ASSERT_THAT(inserter.Insert(range), IsOk());
  EXPECT_EQ(archive.CountEvents(
                "countIf(tenant = 'acme' AND dateDiff('day', receive_time, expires) = 30)"),
            10u);
  EXPECT_EQ(archive.CountEvents(
                "countIf(tenant = 'other' AND dateDiff('day', receive_time, expires) = 400)"),
            10u);
}

TEST(EventWriter, EventsOfATenantThatIsNewWaitForItsRetention) {
  Archive archive;
  archive.retention.Set({{"acme", 30}});
  int asked = 0;
  archive.retention.OnUnknown([&asked] { ++asked; });
  const RangeInserter inserter(archive.client, archive.table, archive.retention);
  RangeData range;
  range.plan.set_token("t");
  range.entries.push_back({{1, 0}, "a", MakeBatch("acme", "a", 0, 10)});
  range.entries.push_back({{2, 0}, "b", MakeBatch("fresh", "b", 0, 10)});
  EXPECT_THAT(inserter.Insert(range),
              StatusIs(absl::StatusCode::kUnavailable, "RETENTION_UNKNOWN"));
  EXPECT_EQ(archive.CountEvents(), 0u);
  EXPECT_EQ(asked, 1);
  archive.retention.Set({{"acme", 30}, {"fresh", 90}});
  ASSERT_THAT(inserter.Insert(range), IsOk());
  EXPECT_EQ(archive.CountEvents(
                "countIf(tenant = 'fresh' AND dateDiff('day', receive_time, expires) = 90)"),
            10u);
  // Somebody of whom the directory never tells is not waited for long.
  range.plan.set_token("u");
  range.entries[1].payload = MakeBatch("gone", "c", 0, 10);
  EXPECT_THAT(inserter.Insert(range),
              StatusIs(absl::StatusCode::kUnavailable, "RETENTION_UNKNOWN"));
  for (int i = 0; i < 2; ++i) archive.retention.Set({{"acme", 30}, {"fresh", 90}});
  EXPECT_THAT(inserter.Insert(range), IsOk());
}

// Kills of the store in the middle of inserts, and writers that end without a word.
TEST(EventWriter, NothingIsMissingOrDoubledWhateverIsKilled) {
  Archive archive;
  constexpr int kBatches = 300;
  constexpr int kEventsPerBatch = 200;
  std::mt19937 random(20261122);
  std::jthread producing([&archive] {
    for (int batch = 0; batch < kBatches; ++batch) {
      archive.Produce("acme", fmt::format("b{}", batch), batch * kEventsPerBatch, kEventsPerBatch);
      if (batch % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(40));
    }
  });
  for (int round = 0; round < 8; ++round) {
    auto writer = archive.NewWriter(Quick());
    writer->Start();
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + random() % 120));
    archive.store.KillHard();
    if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
    writer->Stop();
  }
  producing.join();
  archive.store.AwaitUp();
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  EXPECT_TRUE(archive.AwaitEvents(kBatches * kEventsPerBatch));
  EXPECT_TRUE(archive.AwaitNoLag());
  writer->Stop();
  EXPECT_EQ(archive.CountEvents(), static_cast<uint64_t>(kBatches * kEventsPerBatch));
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"),
            static_cast<uint64_t>(kBatches * kEventsPerBatch));
  EXPECT_EQ(archive.FlowsAddUpTo(), "as events")
      << "flows add up to the events, whatever was killed between the two";
  EXPECT_GT(archive.store.process().restarts(), 3);
}

// The store had committed an insert, and the writer was killed before it moved the cursor.
TEST(EventWriter, ARangeThatWasInsertedAndNotCommittedIsNotDoubled) {
  Archive archive;
  const auto produce = [&archive](int batch) {
    const std::string id = fmt::format("b{}", batch);
    archive.ProduceRaw(0, id, MakeBatch("acme", id, batch * 10, 10));
  };
  for (int batch = 0; batch < 3; ++batch) produce(batch);
  {
    ASSERT_OK_AND_ASSIGN(auto cursor,
                         stream::LeasedCursor::Acquire(archive.flow, archive.topic, 0,
                                                       {"archive", "killed", Quick().lease}));
    RangeData range;
    ASSERT_OK_AND_ASSIGN(range.entries, cursor.Read(100, 1 << 20, std::chrono::seconds(1)));
    ASSERT_EQ(range.entries.size(), 3u);
    range.plan.set_first_entry(range.entries.front().id.ToString());
    range.plan.set_last_entry(range.entries.back().id.ToString());
    range.plan.set_token(TokenOf("events", 0, range.entries.front().id, range.entries.back().id));
    const PlanStore plans(archive.flow, archive.topic, "archive");
    ASSERT_THAT(plans.Save(0, {"killed", cursor.epoch()}, range.plan), IsOk());
    const RangeInserter inserter(archive.client, archive.table, archive.retention);
    ASSERT_THAT(inserter.Insert(range), IsOk());
  }
  for (int batch = 3; batch < 6; ++batch) produce(batch);
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  EXPECT_TRUE(archive.AwaitEvents(60));
  EXPECT_TRUE(archive.AwaitNoLag());
  writer->Stop();
  EXPECT_EQ(archive.CountEvents(), 60u);
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"), 60u);
}

// A holder that stalls between its plan and its insert, while another takes over.
TEST(EventWriter, AStaleHolderCanPlanNothing) {
  Archive archive;
  const PlanStore plans(archive.flow, archive.topic, "archive");
  const auto take = [&archive](const std::string& holder) {
    return stream::LeasedCursor::Acquire(archive.flow, archive.topic, 0,
                                         {"archive", holder, std::chrono::milliseconds(50)});
  };
  ASSERT_OK_AND_ASSIGN(const auto first, take("one"));
  internal::v1::PlannedRange plan;
  plan.set_token("of one");
  ASSERT_THAT(plans.Save(0, {"one", first.epoch()}, plan), IsOk());
  // The lease of the first runs out.
  auto second = take("two");
  ASSERT_TRUE(testing::Eventually([&] { return second.ok() || (second = take("two")).ok(); }));
  plan.set_token("of two");
  ASSERT_THAT(plans.Save(0, {"two", second->epoch()}, plan), IsOk());
  plan.set_token("of one again");
  EXPECT_THAT(plans.Save(0, {"one", first.epoch()}, plan),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  ASSERT_OK_AND_ASSIGN(const auto kept, plans.Load(0));
  EXPECT_EQ(kept->token(), "of two");
}

TEST(EventWriter, AStoreThatIsDownIsWaitedForWhileThereIsRoom) {
  Archive archive;
  archive.store.Stop();
  archive.Produce("acme", "b", 0, 100);
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  EXPECT_TRUE(testing::Eventually([&] { return !writer->Health().ok(); }));
  EXPECT_THAT(writer->Health(), StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
  EXPECT_EQ(archive.spool->ranges(), 0u);
  archive.store.Start();
  EXPECT_TRUE(archive.AwaitEvents(100));
  writer->Stop();
  EXPECT_EQ(archive.CountEvents(), 100u);
}

TEST(EventWriter, BeyondItsShareOfRedisItSpoolsAndCatchesUp) {
  Archive archive;
  archive.store.Stop();
  WriterOptions options = Quick();
  options.spool_above_flow_bytes = 1;
  for (int batch = 0; batch < 20; ++batch) {
    archive.Produce("acme", fmt::format("b{}", batch), batch * 100, 100);
  }
  {
    const auto writer = archive.NewWriter(options);
    writer->Start();
    EXPECT_TRUE(archive.AwaitNoLag()) << "the streams are free again";
    writer->Stop();
  }
  EXPECT_GT(archive.spool->ranges(), 0u);
  ASSERT_OK_AND_ASSIGN(archive.spool, Spool::Open(archive.store.folder() / "spool", 1 << 30));
  archive.store.Start();
  const auto writer = archive.NewWriter(options);
  writer->Start();
  EXPECT_TRUE(archive.AwaitEvents(2000));
  EXPECT_TRUE(testing::Eventually([&] { return archive.spool->ranges() == 0; }));
  writer->Stop();
  EXPECT_EQ(archive.CountEvents(), 2000u);
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"), 2000u);
}

// How many shards each holder has.
std::map<std::string, int> Holders(Archive& archive) {
  std::map<std::string, int> shards;
  for (int shard = 0; shard < archive.topic.shards; ++shard) {
    const auto holder =
        archive.flow->Command({"HGET", stream::LeaseKey("events", shard, "archive"), "holder"});
    if (holder.ok() && !holder->text.empty()) ++shards[holder->text];
  }
  return shards;
}

TEST(EventWriter, SeveralProcessesShareTheShards) {
  Archive archive;
  WriterOptions options = Quick();
  options.holder = "one";
  const auto one = archive.NewWriter(options);
  one->Start();
  const std::map<std::string, int> all_of_one = {{"one", 4}};
  EXPECT_TRUE(testing::Eventually([&] { return Holders(archive) == all_of_one; }));
  options.holder = "two";
  const auto two = archive.NewWriter(options);
  two->Start();
  const std::map<std::string, int> half_each = {{"one", 2}, {"two", 2}};
  EXPECT_TRUE(testing::Eventually([&] { return Holders(archive) == half_each; }));
  for (int batch = 0; batch < 40; ++batch) {
    archive.Produce("acme", fmt::format("b{}", batch), batch * 10, 10);
  }
  EXPECT_TRUE(archive.AwaitNoLag());
  EXPECT_GT(one->events(), 0u);
  EXPECT_GT(two->events(), 0u);
  EXPECT_EQ(archive.CountEvents(), 400u);
  two->Stop();
  EXPECT_TRUE(testing::Eventually([&] { return Holders(archive) == all_of_one; }));
  EXPECT_THAT(one->Health(), IsOk());
  one->Stop();
}

TEST(EventWriter, ABrokenBatchStopsNobody) {
  Archive archive;
  archive.ProduceRaw(0, "good1", MakeBatch("acme", "good1", 0, 10));
  archive.ProduceRaw(0, "bad", "this is no batch");
  archive.ProduceRaw(0, "good2", MakeBatch("acme", "good2", 10, 10));
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  EXPECT_TRUE(archive.AwaitEvents(20));
  EXPECT_TRUE(archive.AwaitNoLag());
  writer->Stop();
  EXPECT_EQ(writer->broken(), 1u);
  const auto dead = archive.flow->Command({"XLEN", stream::DeadLetterKey("events", 0)});
  ASSERT_THAT(dead, IsOk());
  EXPECT_EQ(dead->integer, 1);
}

TEST(EventWriter, DeadLettersAreBoundInBytesByWhoeverWritesThem) {
  Archive archive;
  const DeadLetters letters(archive.flow, archive.topic, "archive");
  const auto command = [&archive](const std::vector<std::string>& words) {
    const auto reply = archive.flow->Command({words.begin(), words.end()});
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? *reply : redis::Reply();
  };
  const std::string payload(5 << 20, 'x');
  for (uint64_t i = 1; i <= 5; ++i) {
    const stream::Entry entry{{i, 0}, fmt::format("k{}", i), payload};
    ASSERT_THAT(letters.Write(0, entry, absl::InternalError("refused")), IsOk());
    ASSERT_THAT(letters.Write(0, entry, absl::InternalError("refused")), IsOk());
  }
  EXPECT_EQ(command({"XLEN", stream::DeadLetterKey("events", 0)}).integer, 3);
  const std::string sizes = stream::DeadLetterSizeKey("events", 0);
  EXPECT_EQ(command({"HGET", sizes, "dropped"}).text, "2");
  const auto bytes = ParseNumber<uint64_t>(command({"HGET", sizes, "bytes"}).text);
  ASSERT_TRUE(bytes.has_value());
  EXPECT_GT(*bytes, 3 * payload.size());
  EXPECT_LE(*bytes, static_cast<uint64_t>(stream::kMaxDeadLetterBytes));
}

// The event store refuses whatever holds the word, as it would refuse values that it cannot take.
void RefusePoison(Archive& archive) {
  ASSERT_THAT(archive.client->Execute({.sql = "ALTER TABLE yagura.events ADD CONSTRAINT poison "
                                              "CHECK position(message, 'poison') = 0"}),
              IsOk());
}

std::string PoisonedBatch(const std::string& batch_id, int first, int count, int poisoned) {
  event::BatchBuilder builder({"acme", batch_id, BaseTime()});
  for (int i = 0; i < count; ++i) {
    event::v1::Event event = MakeEvent("acme", first + i);
    if (i == poisoned) event.set_message("poison");
    builder.Add(event);
  }
  return builder.Finish();
}

struct DeadLetter {
  std::string error;
  std::string key;
  std::string payload;
};

std::vector<DeadLetter> DeadLettersOf(Archive& archive, int shard) {
  std::vector<DeadLetter> letters;
  const auto reply =
      archive.flow->Command({"XRANGE", stream::DeadLetterKey("events", shard), "-", "+"});
  EXPECT_THAT(reply, IsOk());
  if (!reply.ok()) return letters;
  for (const auto& item : reply->items) {
    const auto& fields = item.items[1].items;
    DeadLetter letter;
    for (size_t i = 0; i + 1 < fields.size(); i += 2) {
      if (fields[i].text == "error") letter.error = fields[i + 1].text;
      if (fields[i].text == "k") letter.key = fields[i + 1].text;
      if (fields[i].text == "p") letter.payload = fields[i + 1].text;
    }
    letters.push_back(letter);
  }
  return letters;
}

void ExpectOnlyThePoisonIsBuried(Archive& archive) {
  EXPECT_EQ(archive.CountEvents(), 69u);
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"), 69u);
  EXPECT_EQ(archive.CountEvents("countIf(id = 'bad-7')"), 0u);
  const auto letters = DeadLettersOf(archive, 0);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].key, "bad/7");
  EXPECT_THAT(letters[0].error, ::testing::HasSubstr("poison"));
  ASSERT_OK_AND_ASSIGN(auto buried, event::BatchReader::Open(letters[0].payload));
  ASSERT_EQ(buried.size(), 1u);
  event::v1::Event event;
  ASSERT_THAT(buried.Get(0, &event), IsOk());
  EXPECT_EQ(event.message(), "poison");
}

void ProducePoisonAmongOthers(Archive& archive) {
  for (int batch = 0; batch < 3; ++batch) {
    const std::string id = fmt::format("good{}", batch);
    archive.ProduceRaw(0, id, MakeBatch("acme", id, batch * 10, 10));
  }
  archive.ProduceRaw(0, "bad", PoisonedBatch("bad", 100, 20, 7));
  archive.ProduceRaw(0, "last", MakeBatch("acme", "last", 200, 20));
}

TEST(EventWriter, AnEventThatTheStoreRefusesStopsNobody) {
  Archive archive;
  RefusePoison(archive);
  ProducePoisonAmongOthers(archive);
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  EXPECT_TRUE(archive.AwaitNoLag());
  writer->Stop();
  EXPECT_EQ(writer->broken(), 1u);
  EXPECT_EQ(writer->events(), 69u);
  ExpectOnlyThePoisonIsBuried(archive);
}

// A holder ends while it looks for the poison, and the store takes everything by then: who inserted
// the whole range now would double the halves.
TEST(EventWriter, ARangeThatWasTakenApartIsNeverInsertedWhole) {
  Archive archive;
  RefusePoison(archive);
  ProducePoisonAmongOthers(archive);
  const RangeInserter inserter(archive.client, archive.table, archive.retention);
  const DeadLetters dead_letters(archive.flow, archive.topic, "archive");
  const RangeStorer storer(inserter, dead_letters, Logger::Null());
  const PlanStore plans(archive.flow, archive.topic, "archive");
  for (int halves = 1; halves <= 3; ++halves) {
    ASSERT_OK_AND_ASSIGN(auto cursor,
                         stream::LeasedCursor::Acquire(archive.flow, archive.topic, 0,
                                                       {"archive", "killed", Quick().lease}));
    RangeData range;
    ASSERT_OK_AND_ASSIGN(range.entries, cursor.Read(100, 1 << 20, std::chrono::seconds(1)));
    ASSERT_EQ(range.entries.size(), 5u);
    ASSERT_OK_AND_ASSIGN(const auto planned, plans.Load(0));
    if (planned) range.plan = *planned;
    range.plan.set_first_entry(range.entries.front().id.ToString());
    range.plan.set_last_entry(range.entries.back().id.ToString());
    range.plan.set_token(TokenOf("events", 0, range.entries.front().id, range.entries.back().id));
    int saved = 0;
    int failures = 100;
    const auto stored = storer.Store(
        range,
        [&](const RangeData& split) {
          if (++saved > 1) return absl::UnavailableError("killed");
          return plans.Save(0, {"killed", cursor.epoch()}, split.plan);
        },
        &failures);
    EXPECT_THAT(stored.status(), StatusIs(absl::StatusCode::kUnavailable));
    ASSERT_THAT(cursor.Release(), IsOk());
  }
  EXPECT_EQ(archive.CountEvents(), 30u) << "before the poison there are three good batches";
  ASSERT_THAT(archive.client->Execute({.sql = "ALTER TABLE yagura.events DROP CONSTRAINT poison"}),
              IsOk());
  const auto writer = archive.NewWriter(Quick());
  writer->Start();
  EXPECT_TRUE(archive.AwaitNoLag());
  writer->Stop();
  EXPECT_EQ(archive.CountEvents(), 70u);
  EXPECT_EQ(archive.CountEvents("uniqExact(id)"), 70u);
  for (const char* id : {"good0-0", "good1-0", "good2-0", "bad-0", "bad-19", "last-0"}) {
    EXPECT_EQ(archive.CountEvents(fmt::format("countIf(id = '{}')", id)), 1u) << id;
  }
  EXPECT_EQ(writer->broken(), 0u);
}

TEST(EventWriter, WhatTheSpoolHoldsAndNobodyCanReadOrStoreGoesToTheDeadLetters) {
  Archive archive;
  RefusePoison(archive);
  archive.store.Stop();
  WriterOptions options = Quick();
  options.spool_above_flow_bytes = 1;
  ProducePoisonAmongOthers(archive);
  archive.ProduceRaw(1, "junk", "this is no batch");
  archive.ProduceRaw(1, "beside", MakeBatch("acme", "beside", 300, 1));
  const auto writer = archive.NewWriter(options);
  writer->Start();
  EXPECT_TRUE(archive.AwaitNoLag());
  EXPECT_GT(archive.spool->ranges(), 0u);
  archive.store.Start();
  EXPECT_TRUE(testing::Eventually([&] { return archive.spool->ranges() == 0; }));
  writer->Stop();
  EXPECT_EQ(archive.CountEvents("countIf(id = 'beside-0')"), 1u);
  ASSERT_THAT(archive.client->Execute({.sql = "DELETE FROM yagura.events WHERE id = 'beside-0'"}),
              IsOk());
  ExpectOnlyThePoisonIsBuried(archive);
  const auto letters = DeadLettersOf(archive, 1);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].key, "junk");
  EXPECT_EQ(letters[0].payload, "this is no batch");
  EXPECT_EQ(writer->broken(), 2u);
}

TEST(Spool, ABrokenFileIsSetAsideAndTheQuotaHolds) {
  const auto folder = testing::MakeTemporaryFolder();
  ASSERT_OK_AND_ASSIGN(const auto spool, Spool::Open(folder, 5'000));
  RangeData range;
  range.shard = 1;
  for (int i = 1; i <= 2; ++i) {
    range.plan.set_first_entry(fmt::format("{}-0", i));
    range.plan.set_last_entry(fmt::format("{}-9", i));
    range.entries = {{{static_cast<uint64_t>(i), 0}, "k", std::string(1'000, 'x')}};
    ASSERT_THAT(spool->Put(range), IsOk());
  }
  range.entries[0].payload.resize(10'000);
  range.plan.set_first_entry("3-0");
  EXPECT_THAT(spool->Put(range), StatusIs(absl::StatusCode::kResourceExhausted, "SPOOL_FULL"));
  {
    std::FILE* file = std::fopen((folder / "1.1-0.range").c_str(), "r+");
    ASSERT_NE(file, nullptr);
    std::fseek(file, 500, SEEK_SET);
    std::fputc('!', file);
    std::fclose(file);
  }
  EXPECT_THAT(spool->Oldest(1), StatusIs(absl::StatusCode::kDataLoss, "SPOOL_BROKEN"));
  ASSERT_OK_AND_ASSIGN(const auto next, spool->Oldest(1));
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->plan.first_entry(), "2-0");
  ASSERT_THAT(spool->Remove(*next), IsOk());
  EXPECT_EQ(spool->bytes(), 0u);
  std::filesystem::remove_all(folder);
}

TEST(Migrations, RunAgainAndRefuseTheFarFuture) {
  Archive archive;
  EXPECT_THAT(Migrate(*archive.client, archive.table, Logger::Null()), IsOk());
  const auto pretend = [&archive](unsigned version) {
    return archive.client->Execute(
        {.sql = fmt::format("INSERT INTO yagura.schema_version (version) SELECT {}", version)});
  };
  ASSERT_THAT(pretend(kSchemaVersion + 1), IsOk());
  EXPECT_THAT(Migrate(*archive.client, archive.table, Logger::Null()), IsOk());
  ASSERT_THAT(pretend(kSchemaVersion + 2), IsOk());
  EXPECT_THAT(Migrate(*archive.client, archive.table, Logger::Null()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW"));
}

}  // namespace
}  // namespace yagura::archive
