#include "common/rpc/run_service.h"
#include "services/detection/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "detection", yagura::detection::ReadSettings,
                                 yagura::detection::NewApp);
}
