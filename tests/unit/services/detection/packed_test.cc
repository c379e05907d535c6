#include "services/detection/domain/packed.h"

#include <string>

#include "gtest/gtest.h"

#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {
namespace {

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
  ASSERT_TRUE(Unpack(packed, read));
  EXPECT_EQ(read.SerializeAsString(), batch.SerializeAsString());
}

TEST(PackedTest, SmallMessagesAndThoseOfEarlierReleasesAreThemselves) {
  const auto batch = BatchOf(1);
  EXPECT_EQ(Packer().Pack(batch), batch.SerializeAsString());
  internal::v1::HitBatch read;
  ASSERT_TRUE(Unpack(BatchOf(200).SerializeAsString(), read));
  EXPECT_EQ(read.hits_size(), 200);
}

TEST(PackedTest, OnePackerServesManyMessages) {
  Packer packer;
  for (const int hits : {200, 20, 300}) {
    internal::v1::HitBatch read;
    ASSERT_TRUE(Unpack(packer.Pack(BatchOf(hits)), read));
    EXPECT_EQ(read.hits_size(), hits);
  }
}

TEST(PackedTest, BrokenFramesAreRefused) {
  const std::string packed = Packer().Pack(BatchOf(200));
  internal::v1::HitBatch read;
  for (size_t size = 4; size < packed.size(); ++size) {
    EXPECT_FALSE(Unpack(packed.substr(0, size), read)) << size;
  }
  std::string huge = packed;
  huge.replace(4, 9, "\xc0\xff\xff\xff\xff\xff\xff\xff\x7f");  // says how large it will be
  EXPECT_FALSE(Unpack(huge, read));
}

}  // namespace
}  // namespace yagura::detection
