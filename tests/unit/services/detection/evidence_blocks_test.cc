#include "services/detection/domain/evidence_blocks.h"

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

}  // namespace
}  // namespace yagura::detection
