#include "services/ingestion/domain/sender_memory.h"

#include <vector>

#include "gtest/gtest.h"

namespace yagura::ingestion {
namespace {

constexpr SenderMemory::Stream kStream{};

void Remember(SenderMemory& memory, size_t columns) {
  SenderMemory::Table& table = memory.Building(kStream);
  table.columns.assign(columns, std::string(100, 'x'));
  memory.Finish(kStream);
}

TEST(SenderMemoryTest, SendersTogetherAreBoundedAndTheLastHeardOfStay) {
  const auto budget = std::make_shared<SenderMemoryBudget>(1 << 20);
  std::vector<SenderMemory> senders(1000);
  for (SenderMemory& sender : senders) {
    sender.DrawOn(budget);
    Remember(sender, 10);
    ASSERT_NE(senders[0].Find(kStream, 10), nullptr) << "whose lines come is not forgotten";
    ASSERT_LE(budget->used_bytes(), 1u << 20);
  }
  EXPECT_NE(senders.back().Find(kStream, 10), nullptr);
  EXPECT_EQ(senders[1].Find(kStream, 10), nullptr) << "the oldest went";
  Remember(senders[1], 12);
  EXPECT_NE(senders[1].Find(kStream, 12), nullptr) << "and may come again";
  std::vector<SenderMemory> moved = std::move(senders);
  EXPECT_NE(moved[0].Find(kStream, 10), nullptr);
  moved.clear();
  EXPECT_EQ(budget->used_bytes(), 0u);
}

TEST(SenderMemoryTest, OneSenderThatIsLargerThanTheBudgetHasItAlone) {
  const auto budget = std::make_shared<SenderMemoryBudget>(1);
  SenderMemory memory;
  memory.DrawOn(budget);
  Remember(memory, 10);
  EXPECT_NE(memory.Find(kStream, 10), nullptr);
}

}  // namespace
}  // namespace yagura::ingestion
