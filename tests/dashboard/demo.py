"""Look at the pages with the fake park: `python tests/dashboard/demo.py [port]`."""

import sys

import uvicorn
from fake_service import FakePark
from fastapi import FastAPI

from cluster.routes.endpoints import endpoints_router
from dashboard.app import create_app


def main() -> None:
    """Serve until interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8050
    park, api = FakePark(), FastAPI()
    api.include_router(endpoints_router(park), prefix="/api/v1")
    app = create_app(park, api=api, default_park="vsip1")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
