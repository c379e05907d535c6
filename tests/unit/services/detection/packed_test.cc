#include "services/detection/domain/packed.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"
#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {
namespace {

using testing::IsOk;
using testing::StatusIs;

internal::v1::HitBatch BatchOf(int hits) {
  internal::v1::HitBatch batch;
  batch.set_tenant("acme");
  for (int i = 0; i < hits; ++i) {
    auto& evidence = *batch.add_hits()->add_evidence();
    evidence.set_event_id("batch1-" + std::to_string(i));
    evidence.set_raw("date=2026-01-05 time=10:00:00 devname=\"fw1\" action=\"deny\"");
  }
  return batch;
}

TEST(PackedTest, WhatRepeatsItselfIsSmallAndComesBackAsItWas) {
  const auto batch = BatchOf(200);
  const std::string packed = Packer().Pack(batch);
  EXPECT_LT(packed.size() * 4, batch.ByteSizeLong());
  internal::v1::HitBatch read;
  ASSERT_THAT(Unpack(packed, read), IsOk());
  EXPECT_EQ(read.SerializeAsString(), batch.SerializeAsString());
}

TEST(PackedTest, SmallMessagesAreThemselvesBehindTheVersion) {
  const auto batch = BatchOf(1);
  const std::string packed = Packer().Pack(batch);
  EXPECT_EQ(packed, std::string("\0\1", 2) + batch.SerializeAsString());
  internal::v1::HitBatch read;
  ASSERT_THAT(Unpack(packed, read), IsOk());
  EXPECT_EQ(read.SerializeAsString(), batch.SerializeAsString());
}

TEST(PackedTest, EveryMessageSaysItsVersion) {
  for (const int hits : {0, 1, 200}) {
    const std::string packed = Packer().Pack(BatchOf(hits));
    ASSERT_GE(packed.size(), 2U);
    EXPECT_EQ(packed.substr(0, 2), std::string("\0\1", 2)) << hits;
  }
}

TEST(PackedTest, AMessageSaysTheVersionThatItIsGiven) {
  for (const int hits : {1, 200}) {
    const std::string packed = Packer().Pack(BatchOf(hits), kBlockVersion);
    EXPECT_EQ(packed.substr(0, 2), std::string("\0\2", 2)) << hits;
    internal::v1::HitBatch read;
    ASSERT_THAT(Unpack(packed, read), IsOk());
    EXPECT_EQ(read.hits_size(), hits);
  }
}

TEST(PackedTest, WhatALaterReleaseWroteIsNotBroken) {
  for (const int hits : {1, 200}) {
    std::string later = Packer().Pack(BatchOf(hits));
    later[1] = kPackedVersion + 1;
    internal::v1::HitBatch read;
    const auto refused = Unpack(later, read);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable, "NEWER_FORMAT"));
    EXPECT_THAT(std::string(Message(refused)), ::testing::HasSubstr("format 3"));
  }
}

TEST(PackedTest, WhatHasNoVersionYetIsReadAsWell) {
  internal::v1::HitBatch read;
  ASSERT_THAT(Unpack(BatchOf(200).SerializeAsString(), read), IsOk());
  EXPECT_EQ(read.hits_size(), 200);
  ASSERT_THAT(Unpack(Packer().Pack(BatchOf(100)).substr(2), read), IsOk());
  EXPECT_EQ(read.hits_size(), 100);
}

TEST(PackedTest, HowMuchItWillBeIsKnownBefore) {
  for (const int hits : {1, 200}) {
    const auto batch = BatchOf(hits);
    EXPECT_EQ(UnpackedSize(Packer().Pack(batch)), batch.ByteSizeLong());
    EXPECT_EQ(UnpackedSize(batch.SerializeAsString()), batch.ByteSizeLong());
  }
}

TEST(PackedTest, OnePackerServesManyMessages) {
  Packer packer;
  for (const int hits : {200, 20, 300}) {
    internal::v1::HitBatch read;
    ASSERT_THAT(Unpack(packer.Pack(BatchOf(hits)), read), IsOk());
    EXPECT_EQ(read.hits_size(), hits);
  }
}

TEST(PackedTest, OneUnpackerServesManyMessages) {
  Packer packer;
  Unpacker unpacker;
  for (const int hits : {200, 100, 20'000, 300}) {
    internal::v1::HitBatch read;
    const std::string packed = packer.Pack(BatchOf(hits));
    EXPECT_THAT(unpacker.Unpack(packed.substr(0, packed.size() / 2), read),
                StatusIs(absl::StatusCode::kInvalidArgument, "BAD_PACKED"));
    ASSERT_THAT(unpacker.Unpack(packed, read), IsOk());
    EXPECT_EQ(read.SerializeAsString(), BatchOf(hits).SerializeAsString());
  }
}

TEST(PackedTest, BrokenFramesAreRefused) {
  const std::string packed = Packer().Pack(BatchOf(200));
  internal::v1::HitBatch read;
  const auto is_bad = StatusIs(absl::StatusCode::kInvalidArgument, "BAD_PACKED");
  for (size_t size = 6; size < packed.size(); ++size) {
    EXPECT_THAT(Unpack(packed.substr(0, size), read), is_bad) << size;
  }
  std::string huge = packed;
  huge.replace(6, 9, "\xc0\xff\xff\xff\xff\xff\xff\xff\x7f");  // says how large it will be
  EXPECT_THAT(Unpack(huge, read), is_bad);
  EXPECT_THAT(Unpack(std::string("\0\1\xff", 3), read), is_bad);
  EXPECT_THAT(Unpack(std::string("\0", 1), read), is_bad);
}

}  // namespace
}  // namespace yagura::detection
