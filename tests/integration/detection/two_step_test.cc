// The rules by which two steps, on any number of workers, find what one would: each has a test
// here, or is named with the test that it has elsewhere (services/detection/README.md).
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/packed.h"
#include "tests/integration/detection/pipeline_fixture.h"

namespace yagura::detection {
namespace {

class TwoStepTest : public DetectionPipelineTest {
 protected:
  std::vector<internal::v1::HitBatch> Hits(int shard) {
    std::vector<internal::v1::HitBatch> batches;
    LeasedCursor cursor = Take(kHits, shard);
    const auto entries = cursor.Read(10'000, 64 << 20, {});
    EXPECT_THAT(entries, IsOk());
    for (const auto& entry : *entries) {
      EXPECT_THAT(Unpack(entry.payload, batches.emplace_back()), IsOk());
    }
    return batches;
  }
  // Without what tells who matched it.
  std::multiset<std::string> WhatWasHit() {
    std::multiset<std::string> texts;
    for (int shard = 0; shard < kHits.shards; ++shard) {
      for (auto& batch : Hits(shard)) {
        batch.clear_epoch();
        texts.insert(batch.DebugString());
      }
    }
    return texts;
  }
  std::map<std::string, std::string> Kept(int shard) {
    const auto reply =
        redis_.NewPool()->Command({"HGETALL", fmt::format("y:{{s{}}}:detection:windows", shard)});
    EXPECT_THAT(reply, IsOk());
    std::map<std::string, std::string> kept;
    for (size_t i = 0; i + 1 < reply->items.size(); i += 2) {
      kept[reply->items[i].text] = reply->items[i + 1].text;
    }
    return kept;
  }
};

TEST_F(TwoStepTest, EachEntryIsMatchedAloneWhateverWasMatchedBefore) {
  Produce();
  {
    Process process(redis_.NewPool());
    for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  }
  const auto expected = WhatWasHit();
  const auto pool = redis_.NewPool();
  for (int shard = 0; shard < 2; ++shard) {
    ASSERT_THAT(pool->Command({"DEL", stream::StreamKey("hits", shard)}), IsOk());
    ASSERT_THAT(
        pool->Command({"XGROUP", "SETID", stream::StreamKey("events", shard), "detection", "0"}),
        IsOk());
  }
  ASSERT_THAT(stream::DeclareReaders(*pool, kHits), IsOk());
  // What was sent is remembered by key: those are others after a flush of that alone.
  const auto keys = pool->Command({"KEYS", "y:{s*}:*hits*"});
  ASSERT_THAT(keys, IsOk());
  for (const auto& key : keys->items) {
    if (key.text.find("dedup") == std::string::npos) continue;
    ASSERT_THAT(pool->Command({"DEL", key.text}), IsOk());
  }
  for (int shard = 0; shard < 2; ++shard) {
    LeasedCursor cursor = Take(kEvents, shard);
    while (true) {
      const auto entries = cursor.Read(1, 1 << 20, {});
      ASSERT_THAT(entries, IsOk());
      if (entries->empty()) break;
      Process fresh(redis_.NewPool(), false);
      ASSERT_THAT(fresh.match.Handle({shard, cursor.epoch()}, *entries), IsOk());
      ASSERT_THAT(cursor.Commit(entries->back().id), IsOk());
    }
  }
  EXPECT_EQ(WhatWasHit(), expected);
}

TEST_F(TwoStepTest, HitsOfATenantsRuleAreInOneShard) {
  AddRule(kFew);
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  std::map<std::string, std::set<int>> shards;
  for (int shard = 0; shard < kHits.shards; ++shard) {
    for (const auto& batch : Hits(shard)) {
      for (const auto& hit : batch.hits()) {
        const auto& rule = batch.rules(static_cast<int>(hit.rule()));
        shards[batch.tenant() + "/" + (rule.text_id().empty() ? rule.id() : rule.text_id())].insert(
            shard);
      }
    }
  }
  EXPECT_EQ(shards.size(), 3U);
  for (const auto& [rule, of_rule] : shards) EXPECT_EQ(of_rule.size(), 1U) << rule;
}

TEST_F(TwoStepTest, EachHitTellsItsPlaceRuleSetAndEpoch) {
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) {
    LeasedCursor cursor = Take(kEvents, shard);
    const auto entries = cursor.Read(10'000, 64 << 20, {});
    ASSERT_THAT(entries, IsOk());
    std::set<std::string> ids;
    for (const auto& entry : *entries) ids.insert(entry.id.ToString());
    ASSERT_THAT(process.match.Handle({shard, cursor.epoch()}, *entries), IsOk());
    size_t seen = 0;
    for (int to = 0; to < kHits.shards; ++to) {
      for (const auto& batch : Hits(to)) {
        if (static_cast<int>(batch.source_shard()) != shard) continue;
        ++seen;
        EXPECT_TRUE(ids.contains(batch.source_id())) << batch.source_id();
        EXPECT_EQ(batch.epoch(), cursor.epoch());
        EXPECT_EQ(batch.rule_set_version(), process.rule_book->latest_version());
      }
    }
    EXPECT_GT(seen, 10U);
  }
}

TEST_F(TwoStepTest, AnEntryThatComesAgainUnderAnotherIdOfTheStreamCountsOnce) {
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  for (int shard = 0; shard < 2; ++shard) Drain(kHits, shard, Window, process);
  const auto expected = Findings();
  // All hits once more, in order, as new entries.
  const auto pool = redis_.NewPool();
  for (int shard = 0; shard < 2; ++shard) {
    ASSERT_THAT(pool->Command({"XGROUP", "SETID", stream::StreamKey("hits", shard),
                               "detection-windows", "0"}),
                IsOk());
    const auto kept = Kept(shard);
    Process again(redis_.NewPool(), false);
    Drain(kHits, shard, Window, again);
    EXPECT_EQ(Kept(shard), kept);
  }
  EXPECT_EQ(Findings(), expected);
}

TEST_F(TwoStepTest, WindowsAndCheckpointAreOneWriteUnderTheLease) {
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  const auto pool = redis_.NewPool();
  const WindowStore store(pool, kHits, "detection-windows");
  size_t written = 0;
  for (int shard = 0; shard < kHits.shards; ++shard) {
    const auto batches = Hits(shard);
    const LeasedCursor cursor = Take(kHits, shard);
    Windows windows(Windows::Limits{});
    for (const auto& batch : batches) windows.Apply(batch);
    if (windows.size() == 0) continue;  // it heard of time alone
    EXPECT_THAT(store.Save(shard, cursor.epoch() + 1, windows),
                StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
    EXPECT_TRUE(Kept(shard).empty());
    const auto scripts = [&] {
      const auto info = pool->Command({"INFO", "commandstats"});
      EXPECT_THAT(info, IsOk());
      const size_t at = info->text.find("cmdstat_evalsha:calls=");
      return at == std::string::npos ? 0 : std::atoi(info->text.c_str() + at + 22);
    };
    const int before = scripts();
    ASSERT_THAT(store.Save(shard, cursor.epoch(), windows), IsOk());
    EXPECT_EQ(scripts() - before, 1);
    const auto kept = Kept(shard);
    EXPECT_TRUE(std::ranges::any_of(kept, [](const auto& one) { return one.first[0] == 'c'; }));
    EXPECT_TRUE(std::ranges::any_of(kept, [](const auto& one) { return one.first[0] == 'g'; }));
    ++written;
  }
  EXPECT_GT(written, 0U);
}

// Puts findings, and says how often.
class CountingSink final : public FindingSink {
 public:
  using FindingSink::FindingSink;
  absl::Status Put(const std::vector<Windows::Outcome>& outcomes) override {
    ++puts;
    return FindingSink::Put(outcomes);
  }
  int puts = 0;
};

TEST_F(TwoStepTest, AStepIsBoundedByWhatItsHitsAreUnpacked) {
  Produce();
  RunUninterrupted();
  const auto expected = Findings();
  Prepare();
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  const auto pool = redis_.NewPool();
  const auto sink = std::make_shared<CountingSink>(
      store::Store<v1::Finding>(pool, FindingKind(), SystemClock()),
      std::make_shared<stream::Producer>(pool, kFindings, stream::Producer::Options{}));
  // A few entries a step.
  WindowWorker window(
      std::make_shared<WindowStore>(pool, kHits, "detection-windows"), sink,
      {.lateness = std::chrono::seconds(60), .silence = std::chrono::hours(24 * 365 * 100)},
      process.metrics, 3'000);
  int entries_seen = 0;
  for (int shard = 0; shard < kHits.shards; ++shard) {
    LeasedCursor cursor = Take(kHits, shard);
    const auto entries = cursor.Read(10'000, 64 << 20, {});
    ASSERT_THAT(entries, IsOk());
    ASSERT_FALSE(entries->empty());
    entries_seen += static_cast<int>(entries->size());
    ASSERT_THAT(window.Handle({shard, cursor.epoch()}, *entries), IsOk());
    // All of it again, as after a kill before the cursor moved.
    ASSERT_THAT(window.Handle({shard, cursor.epoch()}, *entries), IsOk());
  }
  EXPECT_GT(sink->puts, 2 * 2 * kHits.shards) << "more than one step a shard";
  EXPECT_LT(sink->puts, 2 * entries_seen) << "several entries a step";
  EXPECT_EQ(Findings(), expected);
}

// The windows of a shard are many groups of many tenants: one that is broken costs itself alone.
TEST_F(TwoStepTest, ABrokenGroupCostsThatGroupAlone) {
  Produce();
  {
    Process process(redis_.NewPool());
    for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  }
  const auto pool = redis_.NewPool();
  int broken = 0;
  double told = 0;
  for (int shard = 0; shard < kHits.shards; ++shard) {
    LeasedCursor cursor = Take(kHits, shard);
    const stream::Worker::Context context{shard, cursor.epoch()};
    const auto entries = cursor.Read(10'000, 64 << 20, {});
    ASSERT_THAT(entries, IsOk());
    const std::vector<stream::Entry> first(
        entries->begin(), entries->begin() + static_cast<std::ptrdiff_t>(entries->size() / 2));
    ASSERT_THAT(Process(redis_.NewPool(), false).window.Handle(context, first), IsOk());
    const auto kept = Kept(shard);
    std::string victim;
    size_t groups = 0;
    for (const auto& [field, value] : kept) {
      if (!field.starts_with("g:")) continue;
      ++groups;
      victim = field;
    }
    if (groups < 2) continue;
    ++broken;
    for (const auto& field : {victim, std::string("r:rules/1"), std::string("e:0")}) {
      ASSERT_THAT(
          pool->Command({"HSET", fmt::format("y:{{s{}}}:detection:windows", shard), field, "\x05"}),
          IsOk());
    }
    Process process(redis_.NewPool(), false);
    ASSERT_THAT(process.window.Handle(context, *entries), IsOk());
    told += process.metrics.GetCounter("yagura_detection_windows_broken_total", "")->Value();
    for (const auto& [field, value] : Kept(shard)) {
      EXPECT_NE(value, "\x05") << field;
      EXPECT_NE(field, "e:0");
    }
  }
  ASSERT_GT(broken, 0);
  EXPECT_EQ(told, 3 * broken);
}

TEST_F(TwoStepTest, WhatALaterReleaseWroteWaitsForIt) {
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  const auto is_newer = StatusIs(absl::StatusCode::kUnavailable, "NEWER_FORMAT");
  LeasedCursor cursor = Take(kHits, 0);
  const auto entries = cursor.Read(10'000, 64 << 20, {});
  ASSERT_THAT(entries, IsOk());
  ASSERT_FALSE(entries->empty());
  const stream::Worker::Context context{0, cursor.epoch()};
  auto later = *entries;
  later.back().payload[1] = kPackedVersion + 1;
  EXPECT_THAT(process.window.Handle(context, later), is_newer);
  EXPECT_THAT(process.window.Split(context, later.back()), is_newer) << "not given up either";
  // Nor are hits at fault for what is kept of windows.
  const auto pool = redis_.NewPool();
  for (const auto& [field, value] : std::map<std::string, std::string>{
           {"g:group", std::string("\0\x7flater", 7)}, {"z:another", "later"}}) {
    ASSERT_THAT(pool->Command({"HSET", "y:{s0}:detection:windows", field, value}), IsOk());
    Process fresh(redis_.NewPool(), false);
    EXPECT_THAT(fresh.window.Handle(context, *entries), is_newer) << field;
    EXPECT_THAT(fresh.window.Split(context, entries->front()), is_newer) << field;
    ASSERT_THAT(pool->Command({"HDEL", "y:{s0}:detection:windows", field}), IsOk());
  }
  Process released(redis_.NewPool(), false);
  EXPECT_THAT(released.window.Handle(context, *entries), IsOk());
}

// A release without blocks would pass over what it does not know of such hits, and make findings
// that show nothing.
TEST_F(TwoStepTest, HitsWithEvidenceInABlockSayThatAnEarlierReleaseCannotReadThem) {
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  int with = 0;
  int without = 0;
  for (int shard = 0; shard < kHits.shards; ++shard) {
    LeasedCursor cursor = Take(kHits, shard);
    const auto entries = cursor.Read(10'000, 64 << 20, {});
    ASSERT_THAT(entries, IsOk());
    for (const auto& entry : *entries) {
      internal::v1::HitBatch batch;
      ASSERT_THAT(Unpack(entry.payload, batch), IsOk());
      const bool has_pieces = !batch.hits().empty();
      (has_pieces ? with : without) += 1;
      EXPECT_EQ(entry.payload.substr(0, 2), std::string(has_pieces ? "\0\2" : "\0\1", 2));
    }
  }
  EXPECT_GT(with, 0);
  EXPECT_GT(without, 0);
}

TEST_F(TwoStepTest, HitsWhoseEvidenceCannotBeReadAreNotCountedWithoutIt) {
  Produce();
  Process process(redis_.NewPool());
  for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  const auto has_evidence = [](const internal::v1::HitBatch& batch) {
    return !batch.packed_evidence().empty();
  };
  const int shard = std::ranges::any_of(Hits(0), has_evidence) ? 0 : 1;
  LeasedCursor cursor = Take(kHits, shard);
  const auto entries = cursor.Read(10'000, 64 << 20, {});
  ASSERT_THAT(entries, IsOk());
  const stream::Worker::Context context{shard, cursor.epoch()};
  const auto found = std::ranges::find_if(*entries, [&](const auto& entry) {
    internal::v1::HitBatch batch;
    return Unpack(entry.payload, batch).ok() && has_evidence(batch);
  });
  ASSERT_NE(found, entries->end());
  internal::v1::HitBatch batch;
  ASSERT_THAT(Unpack(found->payload, batch), IsOk());
  Packer packer;
  const auto with = [&](const std::string& evidence) {
    stream::Entry entry = *found;
    batch.set_packed_evidence(evidence);
    entry.payload = packer.Pack(batch, kBlockVersion);
    return entry;
  };
  auto block = BlockOf(batch);
  ASSERT_THAT(block, IsOk());
  block->add_cores(std::string(10'000, 'x'));  // nobody's
  const std::string evidence = packer.Pack(*block);
  ASSERT_LT(evidence.size(), 5'000) << "a frame";
  std::vector<std::string> all = {std::string("\0\1\xff", 3), "no message", ""};
  for (const auto& whole : {batch.packed_evidence(), evidence}) {
    all.push_back(whole.substr(0, whole.size() - 5));
    all.push_back(whole + "x");
  }
  const auto is_bad = StatusIs(absl::StatusCode::kInvalidArgument, "BAD_PACKED");
  for (const auto& broken : all) {
    const auto entry = with(broken);
    EXPECT_THAT(process.window.Handle(context, {entry}), is_bad) << broken.size();
    EXPECT_THAT(process.window.Split(context, entry), is_bad) << broken.size();
  }
  std::string later = evidence;
  later[1] = '\x7f';
  const auto entry = with(later);
  const auto is_newer = StatusIs(absl::StatusCode::kUnavailable, "NEWER_FORMAT");
  EXPECT_THAT(process.window.Handle(context, {entry}), is_newer);
  EXPECT_THAT(process.window.Split(context, entry), is_newer);
  EXPECT_TRUE(Kept(shard).empty());
  EXPECT_THAT(process.window.Handle(context, {with(evidence)}), IsOk());
  EXPECT_FALSE(Kept(shard).empty());
}

// What only shows when a finding is told: the frame is whole, and its content is not.
TEST_F(TwoStepTest, EvidenceThatTurnsOutToBeBrokenIsCounted) {
  Produce();
  {
    Process process(redis_.NewPool());
    for (int shard = 0; shard < 2; ++shard) Drain(kEvents, shard, Match, process);
  }
  const auto pool = redis_.NewPool();
  double told = 0;
  int broken = 0;
  for (int shard = 0; shard < kHits.shards; ++shard) {
    LeasedCursor cursor = Take(kHits, shard);
    const stream::Worker::Context context{shard, cursor.epoch()};
    const auto entries = cursor.Read(10'000, 64 << 20, {});
    ASSERT_THAT(entries, IsOk());
    // Up to the first event that waits for others.
    const auto is_block = [](const auto& field) { return field.first.starts_with("e:"); };
    auto middle = entries->begin();
    while (middle != entries->end() && std::ranges::none_of(Kept(shard), is_block)) {
      ASSERT_THAT(Process(redis_.NewPool(), false).window.Handle(context, {*middle++}), IsOk());
    }
    internal::v1::HitBatch another;  // the frame of which is no block's
    another.set_source_id(std::string(600, '\x07'));
    const std::string packed = Packer().Pack(another);
    internal::v1::EvidenceBlock read;
    ASSERT_FALSE(Unpack(packed, read).ok());
    for (const auto& [field, value] : Kept(shard)) {
      if (!field.starts_with("e:")) continue;
      ++broken;
      ASSERT_THAT(
          pool->Command({"HSET", fmt::format("y:{{s{}}}:detection:windows", shard), field, packed}),
          IsOk());
    }
    Process process(redis_.NewPool(), false);
    ASSERT_THAT(process.window.Handle(context, {middle, entries->end()}), IsOk());
    told += process.metrics.GetCounter("yagura_detection_windows_broken_total", "")->Value();
  }
  EXPECT_GT(broken, 0);
  EXPECT_EQ(told, broken);
}

}  // namespace
}  // namespace yagura::detection
