#include "services/detection/domain/evidence_blocks.h"

#include <map>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::Evidence Of(int number, size_t raw_size = 300) {
  v1::Evidence evidence;
  evidence.set_event_id(fmt::format("batch-{}", number));
  *evidence.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(1000 + number)));
  *evidence.mutable_receive_time() = evidence.event_time();
  std::string raw;  // of which no two parts are alike
  for (uint32_t state = static_cast<uint32_t>(number) + 1; raw.size() < raw_size;) {
    state = state * 1664525U + 1013904223U;
    raw += static_cast<char>(state >> 24U);
  }
  evidence.set_raw(raw);
  auto* field = evidence.add_matched_fields();
  field->set_name("action");
  field->set_value(std::string(100, 'x') + std::to_string(number));
  return evidence;
}

// A hit that shows `count` events, and the block that it refers to.
internal::v1::Hit HitOf(int count, internal::v1::EvidenceBlock& block, size_t raw_size = 300) {
  internal::v1::Hit hit;
  for (int i = 0; i < count; ++i) *hit.add_evidence() = Of(i, raw_size);
  MoveEvidence(hit, block);
  return hit;
}

TEST(EvidenceBlock, WhatWasMovedIsThereAgain) {
  internal::v1::EvidenceBlock block;
  internal::v1::Hit hit = HitOf(3, block);
  EXPECT_THAT(hit.evidence(), IsEmpty());
  ASSERT_THAT(hit.pieces(), SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    const auto& ref = hit.pieces(i);
    EXPECT_EQ(ref.bytes(), Of(i).ByteSizeLong());
    EXPECT_EQ(ref.time(), (1000LL + i) * 1'000'000'000);
    EXPECT_EQ(ref.event(), EventDigest("batch", static_cast<uint64_t>(i)));
    EXPECT_EQ(EvidenceBytes(block.events(i).size(), block.pieces(i)), ref.bytes());
    EXPECT_EQ(EvidenceAt(block, ref.piece()).SerializeAsString(), Of(i).SerializeAsString());
  }
  InlineEvidence(block, hit);
  EXPECT_THAT(hit.pieces(), IsEmpty());
  EXPECT_EQ(hit.evidence(2).SerializeAsString(), Of(2).SerializeAsString());
}

TEST(EvidenceBlock, WhatIsNotThereIsEmpty) {
  internal::v1::EvidenceBlock block;
  internal::v1::Hit hit = HitOf(1, block);
  block.mutable_pieces(0)->set_event(7);
  EXPECT_TRUE(EvidenceAt(block, 0).event_id().empty());
  EXPECT_TRUE(EvidenceAt(block, 9).event_id().empty());
  EXPECT_EQ(CoreAt(block, 0).ByteSizeLong(), 0U);
  block.mutable_pieces(0)->set_event(0);
  block.set_events(0, "no message");
  EXPECT_TRUE(EvidenceAt(block, 0).event_id().empty());
  InlineEvidence(block, hit);
  EXPECT_THAT(hit.evidence(), IsEmpty());
}

TEST(EvidenceBlock, RenamedEventsAreKnownByTheirNewIds) {
  internal::v1::HitBatch batch;
  *batch.add_hits() = HitOf(2, *batch.mutable_evidence());
  RenameEvents(batch, [](const std::string& id) { return "archived-" + id; });
  const auto& ref = batch.hits(0).pieces(1);
  const auto evidence = EvidenceAt(batch.evidence(), ref.piece());
  EXPECT_EQ(evidence.event_id(), "archived-batch-1");
  EXPECT_EQ(ref.event(), EventDigest("archived-batch-1"));
  EXPECT_EQ(ref.bytes(), evidence.ByteSizeLong());
}

std::vector<internal::v1::EvidenceRef> RefsIn(const internal::v1::Hit& hit, uint64_t number) {
  std::vector<internal::v1::EvidenceRef> refs(hit.pieces().begin(), hit.pieces().end());
  for (auto& ref : refs) ref.set_block(number);
  return refs;
}

TEST(EvidenceBlocks, ABlockIsWrittenOnceAndGoesWithItsLastReference) {
  EvidenceBlocks blocks(true);
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(3, block);
  const uint64_t number = blocks.Add(block);
  const auto refs = RefsIn(hit, number);
  for (const auto& ref : refs) blocks.Refer(ref);
  blocks.Refer(refs[0]);  // of another group
  blocks.Sweep();
  ASSERT_THAT(blocks.Dirty(), SizeIs(1));
  internal::v1::EvidenceBlock written;
  ASSERT_TRUE(Unpack(*blocks.Dirty().at(number), written).ok());
  EXPECT_EQ(written.SerializeAsString(), block.SerializeAsString());
  blocks.Clean();
  EXPECT_EQ(blocks.Evidence(refs[1]).SerializeAsString(), Of(1).SerializeAsString());
  for (const auto& ref : refs) blocks.Release(ref);
  blocks.Sweep();
  EXPECT_THAT(blocks.Dirty(), IsEmpty());
  blocks.Release(refs[0]);
  blocks.Sweep();
  ASSERT_THAT(blocks.Dirty(), SizeIs(1));
  EXPECT_EQ(blocks.Dirty().at(number), nullptr);
  EXPECT_EQ(blocks.size(), 0U);
  EXPECT_EQ(blocks.bytes(), 0U);
  EXPECT_EQ(blocks.live_bytes(), 0U);
}

TEST(EvidenceBlocks, WhatNobodyRefersToIsNeverWritten) {
  EvidenceBlocks blocks(true);
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(1, block);
  const auto refs = RefsIn(hit, blocks.Add(block));
  blocks.Refer(refs[0]);
  blocks.Sweep();
  blocks.Release(refs[0]);
  blocks.Sweep();
  EXPECT_THAT(blocks.Dirty(), IsEmpty());
  EXPECT_EQ(blocks.size(), 0U);
}

TEST(EvidenceBlocks, GoOnFromWhatWasKeptWhateverComesFirst) {
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(2, block);
  const auto refs = RefsIn(hit, 5);
  Packer packer;
  EvidenceBlocks blocks(true);
  blocks.Refer(refs[1]);
  blocks.Load(5, packer.Pack(block));
  blocks.Load(6, packer.Pack(block));  // nobody's
  EXPECT_EQ(blocks.Add(block), 7U);
  blocks.Sweep();
  EXPECT_EQ(blocks.size(), 1U);
  ASSERT_THAT(blocks.Dirty(), SizeIs(1));
  EXPECT_EQ(blocks.Dirty().at(6), nullptr);
  EXPECT_EQ(blocks.Evidence(refs[1]).event_id(), "batch-1");
}

TEST(EvidenceBlocks, WhatIsLostOrBrokenShowsNothing) {
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(1, block);
  EvidenceBlocks blocks(true);
  blocks.Load(3, "broken");
  for (const uint64_t number : {3, 4}) {
    const auto refs = RefsIn(hit, number);
    blocks.Refer(refs[0]);
    blocks.Sweep();
    EXPECT_TRUE(blocks.Evidence(refs[0]).event_id().empty()) << number;
    EXPECT_EQ(blocks.Core(refs[0]).ByteSizeLong(), 0U) << number;
    blocks.Release(refs[0]);
  }
  blocks.Sweep();
  EXPECT_EQ(blocks.size(), 0U);
}

// One event of many stays of each block: what all take follows what is referred to.
TEST(EvidenceBlocks, DoNotGrowWithWhatNobodyRefersToAnyMore) {
  for (const bool keeps : {true, false}) {
    EvidenceBlocks blocks(keeps);
    std::vector<internal::v1::EvidenceRef> left;
    for (int i = 0; i < 100; ++i) {
      internal::v1::EvidenceBlock block;
      const internal::v1::Hit hit = HitOf(40, block, 1500);
      const auto refs = RefsIn(hit, blocks.Add(block));
      for (const auto& ref : refs) blocks.Refer(ref);
      blocks.Sweep();
      for (const auto& ref : refs) {
        if (&ref != &refs[7]) blocks.Release(ref);
      }
      blocks.Sweep();
      left.push_back(refs[7]);
    }
    EXPECT_EQ(blocks.size(), 100U);
    EXPECT_LT(blocks.bytes(), (1U << 20) + 40 * 1700);
    for (const auto& ref : left) {
      EXPECT_EQ(blocks.Evidence(ref).SerializeAsString(), Of(7, 1500).SerializeAsString());
    }
  }
}

// What was kept is mostly of nobody's: that shows after a restart, too.
TEST(EvidenceBlocks, AreNotMoreAfterARestartThanBefore) {
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(40, block, 1500);
  const std::string packed = Packer().Pack(block);
  EvidenceBlocks blocks(true);
  for (uint64_t number = 1; number <= 100; ++number) {
    blocks.Load(number, packed);
    blocks.Refer(RefsIn(hit, number)[7]);
  }
  blocks.Sweep();
  EXPECT_LT(blocks.bytes(), (1U << 20) + 40 * 1700);
  EXPECT_EQ(blocks.Evidence(RefsIn(hit, 3)[7]).SerializeAsString(),
            Of(7, 1500).SerializeAsString());
  // As they are now, nothing is to be gained of them.
  const size_t bytes = blocks.bytes();
  EvidenceBlocks again(true);
  std::map<uint64_t, std::string> kept;
  for (const auto& [number, shrunk] : blocks.Dirty()) kept[number] = *shrunk;
  ASSERT_GT(kept.size(), 50U);
  for (uint64_t number = 1; number <= 100; ++number) {
    again.Load(number, kept.contains(number) ? kept[number] : packed);
    again.Refer(RefsIn(hit, number)[7]);
  }
  again.Sweep();
  EXPECT_THAT(again.Dirty(), IsEmpty());
  EXPECT_EQ(again.bytes(), bytes);
}

// Of a block that cannot be read nothing is known, so it is not for us to make it smaller.
TEST(EvidenceBlocks, WhatCannotBeReadStaysAsItIs) {
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(2000, block, 1500);
  std::string broken = Packer().Pack(block);
  broken.resize(broken.size() - 100);
  EvidenceBlocks blocks(true);
  const auto refs = RefsIn(hit, 1);
  blocks.Load(1, broken);
  for (const auto& ref : refs) blocks.Refer(ref);
  blocks.Sweep();
  for (size_t i = 1; i < refs.size(); ++i) blocks.Release(refs[i]);
  blocks.Sweep();
  EXPECT_THAT(blocks.Dirty(), IsEmpty());
  EXPECT_EQ(blocks.bytes(), broken.size());
  EXPECT_TRUE(blocks.Evidence(refs[0]).event_id().empty());
}

// What cannot be read, or is not there, is told once.
TEST(EvidenceBlocks, TellOnceWhatTheyCouldNotRead) {
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(2, block);
  EvidenceBlocks blocks(true);
  blocks.Load(1, "broken");
  blocks.Load(2, Packer().Pack(block));
  for (const uint64_t number : {1, 2, 3}) {
    for (const auto& ref : RefsIn(hit, number)) blocks.Refer(ref);
  }
  blocks.Sweep();
  EXPECT_THAT(blocks.TakeUnreadable(), IsEmpty());
  for (int i = 0; i < 2; ++i) {
    for (const uint64_t number : {1, 2, 3}) {
      for (const auto& ref : RefsIn(hit, number)) {
        EXPECT_EQ(blocks.Evidence(ref).event_id().empty(), number != 2);
      }
    }
    blocks.Sweep();
    const auto told = blocks.TakeUnreadable();
    ASSERT_THAT(told, SizeIs(i == 0 ? 2 : 0));
    if (i > 0) break;
    EXPECT_EQ(told[0].first, 1U);
    EXPECT_EQ(told[0].second.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(told[1].first, 3U);
    EXPECT_EQ(told[1].second.code(), absl::StatusCode::kNotFound);
  }
}

TEST(EvidenceBlocks, ABlockNeverTakesThePlaceOfAnother) {
  internal::v1::EvidenceBlock block;
  const internal::v1::Hit hit = HitOf(1, block);
  internal::v1::EvidenceBlock other;
  HitOf(2, other);
  EvidenceBlocks blocks(true);
  EXPECT_TRUE(blocks.Load(4, Packer().Pack(block)));
  const size_t bytes = blocks.bytes();
  EXPECT_FALSE(blocks.Load(4, Packer().Pack(other)));
  EXPECT_EQ(blocks.bytes(), bytes);
  const uint64_t added = blocks.Add(block);
  EXPECT_FALSE(blocks.Load(added, Packer().Pack(other)));
  for (const auto& number : {uint64_t{4}, added}) {
    blocks.Refer(RefsIn(hit, number)[0]);
    EXPECT_EQ(blocks.Evidence(RefsIn(hit, number)[0]).event_id(), "batch-0");
  }
}

// What a group is about is the core of an event: its raw line goes with the last that shows it.
TEST(EvidenceBlocks, OfWhatGroupsAreAboutOnlyTheCoreStays) {
  event::v1::Event core;
  core.set_device("fw1");
  core.set_user(std::string(200, 'u'));
  for (const bool keeps : {true, false}) {
    EvidenceBlocks blocks(keeps);
    std::vector<internal::v1::EvidenceRef> abouts;
    std::vector<internal::v1::EvidenceRef> shown;
    for (int i = 0; i < 100; ++i) {
      internal::v1::EvidenceBlock block;
      const internal::v1::Hit hit = HitOf(20, block, 2000);
      for (int at = 0; at < 20; ++at) block.add_cores(core.SerializeAsString());
      auto refs = RefsIn(hit, blocks.Add(block));
      for (auto& ref : refs) {
        ref.set_core_bytes(static_cast<uint32_t>(core.ByteSizeLong()));
        blocks.Refer(ref);
        blocks.ReferCore(ref);
      }
      blocks.Sweep();
      for (const auto& ref : refs) {
        if (i == 0 && &ref == &refs[3]) {
          shown.push_back(ref);
        } else {
          blocks.Release(ref);
        }
        abouts.push_back(ref);
      }
      blocks.Sweep();
    }
    EXPECT_EQ(blocks.size(), 100U);
    EXPECT_EQ(blocks.live_bytes(), 2000 * core.ByteSizeLong() + shown[0].bytes());
    EXPECT_LT(blocks.bytes(), (1U << 20) + 20 * 2500);
    for (const auto& about : abouts) {
      ASSERT_EQ(blocks.Core(about).SerializeAsString(), core.SerializeAsString());
    }
    EXPECT_EQ(blocks.Evidence(shown[0]).SerializeAsString(), Of(3, 2000).SerializeAsString());
    blocks.Release(shown[0]);
    for (const auto& about : abouts) blocks.ReleaseCore(about);
    blocks.Sweep();
    EXPECT_EQ(blocks.size(), 0U);
    EXPECT_EQ(blocks.bytes(), 0U);
    EXPECT_EQ(blocks.live_bytes(), 0U);
    EXPECT_THAT(blocks.TakeUnreadable(), IsEmpty());
  }
}

}  // namespace
}  // namespace yagura::detection
