#include "common/event/batch_slice.h"

#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

using testing::IsOk;

v1::Event MakeEvent(int number) {
  v1::Event event;
  event.set_raw(fmt::format("raw {}", number));
  event.set_user(fmt::format("user{}", number % 3));
  event.mutable_receive_time()->set_seconds(1'700'000'000 + number);
  for (int i = 0; i < number % 4; ++i) {
    auto& field = *event.add_fields();
    field.set_name("f");
    field.set_value(fmt::format("{}.{}", number, i));
  }
  return event;
}

BatchReader MakeBatch(int events) {
  BatchBuilder builder({"acme", "b1", TimePoint(std::chrono::seconds(1'700'000'000))});
  for (int i = 0; i < events; ++i) builder.Add(MakeEvent(i));
  return *BatchReader::Open(builder.Finish());
}

TEST(BatchSlice, HoldsTheChosenEventsInOrderUnderTheSameHeader) {
  BatchReader batch = MakeBatch(40);
  const std::vector<uint32_t> rows = {0, 7, 8, 39};
  const auto bytes = CopyEvents(batch, rows);
  ASSERT_THAT(bytes, IsOk());
  auto part = BatchReader::Open(*bytes);
  ASSERT_THAT(part, IsOk());
  EXPECT_EQ(part->tenant(), "acme");
  EXPECT_EQ(part->batch_id(), "b1");
  EXPECT_EQ(part->header().receive_time, batch.header().receive_time);
  ASSERT_EQ(part->size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    v1::Event whole;
    v1::Event copy;
    ASSERT_THAT(batch.Get(rows[i], &whole), IsOk());
    ASSERT_THAT(part->Get(i, &copy), IsOk());
    copy.set_id(whole.id());
    EXPECT_EQ(copy.SerializeAsString(), whole.SerializeAsString());
  }
}

TEST(BatchSlice, OfNoEventsIsABatchToo) {
  BatchReader batch = MakeBatch(3);
  const auto bytes = CopyEvents(batch, {});
  ASSERT_THAT(bytes, IsOk());
  const auto part = BatchReader::Open(*bytes);
  ASSERT_THAT(part, IsOk());
  EXPECT_EQ(part->size(), 0U);
  EXPECT_EQ(part->tenant(), "acme");
}

TEST(BatchSlice, OfOneEventIsBounded) {
  const auto noise = [](size_t size) {
    std::string text;
    uint32_t state = 1;
    while (text.size() < size) text += fmt::format("{:08x}", state = state * 1664525 + 1013904223);
    return text;
  };
  BatchBuilder builder({"acme", "b1", TimePoint(std::chrono::seconds(1))});
  v1::Event event = MakeEvent(3);
  event.set_raw(noise(500'000));
  builder.Add(event);
  event.set_raw("short");
  event.add_fields()->set_value(noise(500'000));
  builder.Add(event);
  event.set_message(noise(500'000));
  builder.Add(event);
  BatchReader batch = *BatchReader::Open(builder.Finish());
  for (uint32_t row = 0; row < batch.size(); ++row) {
    const std::string letter = CopyEventBounded(batch, row);
    EXPECT_LT(letter.size(), 110'000U);
    auto part = BatchReader::Open(letter);
    ASSERT_THAT(part, IsOk());
    v1::Event kept;
    ASSERT_THAT(part->Get(0, &kept), IsOk());
    EXPECT_THAT(kept.raw(), ::testing::StartsWith(row == 0 ? "3c88596c" : "short"));
    EXPECT_EQ(kept.user(), row < 2 ? "user0" : "");
  }
}

}  // namespace
}  // namespace yagura::event
