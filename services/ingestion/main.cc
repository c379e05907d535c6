#include "common/rpc/run_service.h"
#include "services/ingestion/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "ingestion", yagura::ingestion::ReadSettings,
                                 yagura::ingestion::NewApp);
}
